// SPDX-License-Identifier: AGPL-3.0-only
import { H2Title } from 'twenty-ui/display';
import { Section } from 'twenty-ui/layout';

/* In the place of Twenty's invitations: people come and go with the organization. */
export const ClerkMembersNotice = () => (
  <Section>
    <H2Title
      title="Invitations"
      description="Members of this workspace are the members of your organization. An administrator invites and removes them there, and the list below follows within seconds."
    />
  </Section>
);
