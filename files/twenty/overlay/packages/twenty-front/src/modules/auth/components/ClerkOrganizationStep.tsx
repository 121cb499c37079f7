// SPDX-License-Identifier: AGPL-3.0-only
import { getClerkReturnAddress } from '@/auth/clerk/getClerkReturnAddress';
import { ClerkButton } from '@/auth/components/ClerkButton';
import { ClerkPageFrame } from '@/auth/components/ClerkPageFrame';
import { useClerkAuth } from '@/auth/hooks/useClerkAuth';
import { CreateOrganization, useOrganizationList } from '@clerk/clerk-react';
import { useTheme } from '@emotion/react';
import styled from '@emotion/styled';
import { useEffect, useState } from 'react';
import { Loader } from 'twenty-ui/feedback';

const StyledActions = styled.div`
  align-items: center;
  display: flex;
  flex-direction: column;
  gap: ${({ theme }) => theme.spacing(2)};
  margin-top: ${({ theme }) => theme.spacing(6)};
  max-width: 280px;
  width: 100%;
`;

const StyledCreation = styled.div`
  margin-top: ${({ theme }) => theme.spacing(6)};
  max-width: 100%;
`;

const StyledError = styled.p`
  color: ${({ theme }) => theme.font.color.danger};
  font-size: ${({ theme }) => theme.font.size.md};
  margin: 0;
  text-align: center;
`;

const ClerkOrganizationCreation = () => {
  const theme = useTheme();

  return (
    <StyledCreation>
      <CreateOrganization
        routing="virtual"
        skipInvitationScreen
        afterCreateOrganizationUrl={getClerkReturnAddress(window.location.href)}
        appearance={{
          variables: {
            colorPrimary: theme.color.blue,
            colorBackground: theme.background.primary,
            colorText: theme.font.color.primary,
            colorTextSecondary: theme.font.color.secondary,
            colorInputBackground: theme.background.secondary,
            colorInputText: theme.font.color.primary,
            colorNeutral: theme.font.color.primary,
            borderRadius: theme.border.radius.md,
            fontFamily: theme.font.family,
          },
          elements: { cardBox: { boxShadow: 'none' } },
        }}
      />
    </StyledCreation>
  );
};

type ClerkOrganizationStepProps = {
  mode: 'needed' | 'other' | 'switching';
};

/* A workspace belongs to an organization of Clerk's: choose one, or make one. */
export const ClerkOrganizationStep = ({ mode }: ClerkOrganizationStepProps) => {
  const { sessionState, signOut, keepOrganization } = useClerkAuth();
  const { isLoaded, userMemberships, setActive } = useOrganizationList({
    userMemberships: { infinite: true },
  });
  const [isCreating, setIsCreating] = useState(false);
  const [isFailed, setIsFailed] = useState(false);
  const [chosenId, setChosenId] = useState<string | null>(null);
  const [isOnlyOneTaken, setIsOnlyOneTaken] = useState(false);

  const memberships = userMemberships.data ?? [];
  const currentOrganizationId =
    sessionState.phase === 'organization'
      ? sessionState.identity.organizationId
      : null;
  const isListed =
    isLoaded &&
    (userMemberships.isError ||
      (!userMemberships.isLoading && !userMemberships.hasNextPage));
  const onlyOrganizationId =
    mode === 'needed' && isListed && memberships.length === 1
      ? memberships[0].organization.id
      : null;

  const activate = async (organizationId: string) => {
    if (organizationId === currentOrganizationId) {
      keepOrganization();
      return;
    }

    setIsFailed(false);
    setChosenId(organizationId);

    try {
      await setActive?.({ organization: organizationId });
    } catch {
      setIsFailed(true);
      setChosenId(null);
    }
  };

  useEffect(() => {
    if (
      isLoaded &&
      userMemberships.hasNextPage &&
      !userMemberships.isFetching
    ) {
      userMemberships.fetchNext();
    }
  }, [isLoaded, userMemberships]);

  useEffect(() => {
    // nothing to choose: a person of one organization is taken there
    if (onlyOrganizationId !== null && !isOnlyOneTaken) {
      setIsOnlyOneTaken(true);
      activate(onlyOrganizationId);
    }
  });

  if (!isListed || chosenId !== null) {
    return (
      <ClerkPageFrame
        title={chosenId === null ? 'One moment' : 'Opening your organization'}
        text=""
        isPatient
        isRaised={false}
      >
        <StyledActions>
          <Loader />
        </StyledActions>
      </ClerkPageFrame>
    );
  }

  const isListFailed = userMemberships.isError;
  const shouldCreate =
    !isListFailed && (isCreating || memberships.length === 0);

  return (
    <ClerkPageFrame
      title={
        shouldCreate ? 'Create your organization' : 'Choose an organization'
      }
      text={
        shouldCreate
          ? 'Your CRM workspace belongs to an organization. It is set up as soon as the organization exists. If your company has one already, ask its administrator for an invitation instead.'
          : 'Each organization has a workspace of its own.'
      }
    >
      {shouldCreate && <ClerkOrganizationCreation />}
      <StyledActions>
        {(isFailed || isListFailed) && (
          <StyledError role="alert">
            That did not work. Check your connection and try again.
          </StyledError>
        )}
        {isListFailed && (
          <ClerkButton
            title="Try again"
            variant="primary"
            onClick={() => userMemberships.revalidate?.()}
          />
        )}
        {!shouldCreate &&
          memberships.map(({ organization }) => (
            <ClerkButton
              key={organization.id}
              title={organization.name}
              onClick={() => activate(organization.id)}
            />
          ))}
        {!shouldCreate && !isListFailed && (
          <ClerkButton
            title="Create an organization"
            onClick={() => setIsCreating(true)}
          />
        )}
        {shouldCreate && memberships.length > 0 && (
          <ClerkButton title="Back" onClick={() => setIsCreating(false)} />
        )}
        {mode !== 'needed' && (
          <ClerkButton title="Stay where I am" onClick={keepOrganization} />
        )}
        <ClerkButton title="Sign out" onClick={signOut} />
      </StyledActions>
    </ClerkPageFrame>
  );
};
