// A verifier that asks for the key set, and a server that asks too often.
import { createClerkClient, verifyToken } from '@clerk/backend';

const told = JSON.parse(process.argv[2]);
const { apiUrl, secretKey } = told;
const subjects = [];
for (const token of told.tokens) subjects.push((await verifyToken(token, { apiUrl, authorizedParties: [told.origin], secretKey })).sub);
const clerk = createClerkClient({ apiUrl, secretKey });
const statuses = [];
let retryAfter = null;
for (let n = 0; n < 4; n++) {
  try {
    await clerk.users.getCount();
    statuses.push(200);
  } catch (error) {
    statuses.push(error.status);
    retryAfter = error.retryAfter;
  }
}
console.log(JSON.stringify({ retryAfter, statuses, subjects }));
