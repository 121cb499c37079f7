// What a server does with Clerk, by the real @clerk/backend: one JSON object of results on standard output.
import { createClerkClient, verifyToken } from '@clerk/backend';
import { verifyWebhook } from '@clerk/backend/webhooks';

const told = JSON.parse(process.argv[2]);
const clerk = createClerkClient({ apiUrl: told.apiUrl, publishableKey: told.publishableKey, secretKey: told.secretKey });
const failed = async (promise) => {
  try {
    return { value: await promise };
  } catch (error) {
    return { code: error.errors?.[0]?.code ?? null, reason: error.reason ?? null, retryAfter: error.retryAfter ?? null, status: error.status ?? null };
  }
};
const found = {};

// people
const first = await clerk.users.getUserList({ limit: 10 });
const emails = new Set();
for (let offset = 0; offset < first.totalCount; offset += 10) {
  for (const user of (await clerk.users.getUserList({ limit: 10, offset })).data) emails.add(user.primaryEmailAddress.emailAddress);
}
found.paged = [first.totalCount, emails.size];
const dave = await clerk.users.createUser({ emailAddress: ['dave@lab.test'], firstName: 'Dave', publicMetadata: { plan: 'free' } });
found.dave = [dave.primaryEmailAddress.emailAddress, dave.primaryEmailAddress.verification.status, dave.publicMetadata.plan];
found.renamed = (await clerk.users.updateUser(dave.id, { lastName: 'D' })).fullName;
found.taken = await failed(clerk.users.createUser({ emailAddress: ['dave@lab.test'] }));
found.nobody = await failed(clerk.users.getUser('user_none'));

// organisations and memberships
const made = await clerk.organizations.createOrganization({ name: 'Initech', createdBy: dave.id });
found.bySlug = (await clerk.organizations.getOrganization({ slug: made.slug })).id === made.id;
const membership = await clerk.organizations.createOrganizationMembership({ organizationId: made.id, role: 'org:member', userId: told.alice });
found.membership = [membership.role, membership.publicUserData.identifier, membership.organization.name];
found.promoted = (await clerk.organizations.updateOrganizationMembership({ organizationId: made.id, role: 'org:admin', userId: told.alice })).role;
found.members = (await clerk.organizations.getOrganizationMembershipList({ organizationId: made.id })).totalCount;
found.mine = (await clerk.users.getOrganizationMembershipList({ userId: told.alice })).data.map((m) => m.organization.slug).sort();
await clerk.organizations.deleteOrganizationMembership({ organizationId: made.id, userId: told.alice });
found.invited = (await clerk.organizations.createOrganizationInvitation({ emailAddress: 'x@lab.test', organizationId: made.id, role: 'org:member' })).status;
await clerk.organizations.deleteOrganization(made.id);
found.gone = await failed(clerk.organizations.getOrganization({ organizationId: made.id }));
found.deleted = (await clerk.users.deleteUser(dave.id)).id === dave.id;
found.wrongKey = await failed(createClerkClient({ apiUrl: told.apiUrl, secretKey: 'sk_test_wrong' }).users.getCount());

// tokens
const options = { authorizedParties: [told.origin] };
found.networkless = (await failed(verifyToken(told.good, { ...options, jwtKey: told.pem }))).value?.sub;
found.byKeySet = (await failed(verifyToken(told.good, { ...options, apiUrl: told.apiUrl, secretKey: told.secretKey }))).value?.o?.slg;
found.refused = {};
for (const [flaw, token] of Object.entries(told.flawed)) {
  found.refused[flaw] = 'value' in (await failed(verifyToken(token, { ...options, jwtKey: told.pem }))) ? 'let in' : 'refused';
}
const request = new Request(`${told.origin}/graphql`, { headers: { authorization: `Bearer ${told.good}` } });
const state = await clerk.authenticateRequest(request, options);
const auth = state.toAuth();
found.request = [state.status, auth.userId === told.alice, auth.orgRole, auth.orgSlug, auth.has({ role: 'org:admin' })];

// sessions
const session = await clerk.sessions.createSession({ userId: told.alice });
found.session = [session.status, (await clerk.sessions.revokeSession(session.id)).status];
const ticket = await clerk.signInTokens.createSignInToken({ expiresInSeconds: 60, userId: told.alice });
found.ticket = [ticket.status, ticket.url.startsWith('http://127.0.0.1')];

// a webhook as it was delivered
const delivery = (body) => new Request('http://crm.test/webhooks/clerk', { body, headers: told.delivery.headers, method: 'POST' });
const event = await failed(verifyWebhook(delivery(told.delivery.body), { signingSecret: told.webhookSecret }));
found.webhook = [event.value?.type, event.value?.data.id === told.alice];
found.tampered = 'value' in (await failed(verifyWebhook(delivery(told.delivery.body + ' '), { signingSecret: told.webhookSecret })));

console.log(JSON.stringify(found));
