// The smallest application that signs in as Twenty's page will: the real clerk-react, configured at run time.
import {
  ClerkProvider,
  CreateOrganization,
  OrganizationSwitcher,
  RedirectToSignIn,
  SignedIn,
  SignedOut,
  useAuth,
  useClerk,
  useOrganization,
  useOrganizationList,
  useUser,
} from '@clerk/clerk-react';
import { createRoot } from 'react-dom/client';

declare global {
  interface Window {
    settings: { publishableKey: string; proxyUrl: string; clerkJSUrl: string };
    tools: Record<string, unknown>;
  }
}

const Inside = () => {
  const { getToken, orgId, orgRole, orgSlug, sessionId, userId } = useAuth();
  const { user } = useUser();
  const { organization } = useOrganization();
  const { createOrganization, setActive, userMemberships } = useOrganizationList({ userMemberships: true });
  const clerk = useClerk();
  // the test's way in: what a click in a real page would call
  window.tools = { clerk, createOrganization, getToken, setActive };
  return (
    <main data-user={userId} data-session={sessionId} data-organization={orgId ?? ''} data-role={orgRole ?? ''}>
      <h1>{user?.primaryEmailAddress?.emailAddress}</h1>
      <p id="organization">{organization ? `${organization.name} (${orgSlug})` : 'personal'}</p>
      <ul>
        {userMemberships?.data?.map((membership) => (
          <li key={membership.id}>
            <button onClick={() => setActive?.({ organization: membership.organization.id })}>
              {membership.organization.name}
            </button>
          </li>
        ))}
      </ul>
      <button id="personal" onClick={() => setActive?.({ organization: null })}>personal</button>
      <button id="out" onClick={() => clerk.signOut({ redirectUrl: '/goodbye' })}>sign out</button>
      {location.pathname === '/with-components' && <OrganizationSwitcher />}
      {location.pathname === '/create' && <CreateOrganization />}
    </main>
  );
};

const Page = () => (
  <ClerkProvider {...window.settings} telemetry={false} afterSignOutUrl="/goodbye">
    <SignedIn>
      <Inside />
    </SignedIn>
    <SignedOut>{location.pathname === '/goodbye' ? <p id="goodbye">signed out</p> : <RedirectToSignIn />}</SignedOut>
  </ClerkProvider>
);

createRoot(document.getElementById('root')!).render(<Page />);
