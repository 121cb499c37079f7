// Sign-in by Clerk, small. What decides is not written here: the files below src/auth/clerk are the ones that the patchset lays
// into Twenty's tree, the same in both. This file gives them a store and HTTP; tenants.ts is the internal API beside it.
import express, { type Request, type Response, type Router } from 'express';

import {
  fetchMembers,
  fetchOrganizationsOf,
  fetchPerson,
  fetchStandings,
  isSessionLive,
} from '../../auth/clerk/pure/clerk-api';
import { readClerkClientConfig, readClerkSettings } from '../../auth/clerk/pure/clerk-settings';
import { CachedKeySet, FixedKey } from '../../auth/clerk/pure/key-set';
import { Recent } from '../../auth/clerk/pure/recent';
import { admitSession, type CheckPorts } from '../../auth/clerk/pure/session-checks';
import { answerOf, endSession, exchangeSession, labelsOf, type ExchangePorts } from '../../auth/clerk/pure/session-exchange';
import { Throttle } from '../../auth/clerk/pure/throttle';
import { visitorOf } from '../../auth/clerk/pure/visitor';
import { logger } from '../../logger';
import { accessTokens } from './auth/auth.service';
import { findUser, type User } from './auth/context';
import { ensureUser, findTenant, findUserId, isMember, sessions } from './clerk-store';
import { tenantsRouter } from './tenants';

export { prepareClerk } from './clerk-store';

const log = logger('clerk');
const settings = readClerkSettings(process.env);
const recent = new Recent(5 * 60_000, 10_000);
const throttle = new Throttle(10_000);
const LIMIT = { address: 600, person: 60 };

export const clerkClientConfig = () => readClerkClientConfig(process.env);

const admit = async (key: string): Promise<boolean> =>
  throttle.take(key, key.startsWith('person:') ? LIMIT.person : LIMIT.address, 60_000);

const now = () => Date.now() / 1000;

const checks: CheckPorts | undefined = settings
  ? {
      now,
      isSessionLive: (session) => isSessionLive(fetch, settings, session),
      fetchPerson: (id) => fetchPerson(fetch, settings, id),
      fetchStandings: (ids) => fetchStandings(fetch, settings, ids),
      fetchMembers: (organizationId, ids) => fetchMembers(fetch, settings, organizationId, ids),
      fetchOrganizationsOf: (id) => fetchOrganizationsOf(fetch, settings, id),
      find: (session) => sessions.find(session),
      begin: (session, confirmedAt) => sessions.begin(session, confirmedAt),
      end: (session, why) => sessions.end(session, why),
      setStandings: (standings, askedAt) => sessions.setStandings(standings, askedAt),
      setMembership: (...given) => sessions.setMembership(...given),
    }
  : undefined;

const ports: ExchangePorts | undefined = settings && checks
  ? {
      keys: settings.jwtKey ? new FixedKey(settings.jwtKey) : new CachedKeySet(settings.keySetUrl, fetch),
      now,
      admit,
      admitSession: (session) => admitSession(session, checks),
      findTenant,
      findUserId,
      fetchProfile: async (clerkUserId) => (await checks.fetchPerson(clerkUserId))?.profile ?? null,
      ensureUser: async (profile) => {
        const { id } = await ensureUser(profile);
        recent.add(profile.clerkUserId);
        return id;
      },
      isInStep: (clerkUserId) => recent.has(clerkUserId),
      isMember,
      issueTokens: async (userId, workspaceId) => accessTokens((await findUser('id', userId)) as User, workspaceId, 'SSO'),
      findHome: async () => null,
    }
  : undefined;

const addressOf = (request: Request): string => visitorOf(request.get('x-forwarded-for'), request.ip);

const exchange = async (request: Request, response: Response): Promise<void> => {
  if (!settings || !ports) {
    response.status(404).json({ error: 'not-found' });
    return;
  }
  try {
    const outcome = await exchangeSession(
      { authorization: request.get('authorization'), address: addressOf(request) },
      settings,
      ports,
    );
    const labels = labelsOf(outcome);
    log.log(`clerk-session outcome=${labels.outcome} reason=${labels.reason}`);
    const answer = answerOf(outcome);
    response.status(answer.status).set(answer.headers).json(answer.body);
  } catch (error) {
    log.error(`clerk-session outcome=failed ${(error as Error).stack}`);
    response.status(503).set({ 'Cache-Control': 'no-store', 'Retry-After': '5' }).json({ error: 'unavailable' });
  }
};

const signOut = async (request: Request, response: Response): Promise<void> => {
  if (!settings || !ports || !checks) {
    response.status(404).json({ error: 'not-found' });
    return;
  }
  const { status } = await endSession({ authorization: request.get('authorization'), address: addressOf(request) }, settings, {
    ...ports,
    end: (session) => checks.end(session, 'signed out'),
    endByAccessToken: async () => false,
  });
  response.status(status).set('Cache-Control', 'no-store').end();
};

export const clerkRouter = (): Router => {
  const router = express.Router();
  router.post('/clerk/session', exchange);
  router.delete('/clerk/session', (request, response, next) => void signOut(request, response).catch(next));
  router.use('/internal', tenantsRouter());
  return router;
};
