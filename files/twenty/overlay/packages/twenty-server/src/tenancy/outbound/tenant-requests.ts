// SPDX-License-Identifier: AGPL-3.0-only
// Requests to addresses that a tenant chose: HTTP steps of workflows, webhooks, pictures, mail and calendar servers.
import axios, { type AxiosInstance } from 'axios';

import { readAllowed } from 'src/tenancy/outbound/pure/public-address';
import { safeAgents, safeHost } from 'src/tenancy/outbound/pure/safe-agents';

const LARGEST_BODY = 10 * 2 ** 20;
const LARGEST_KEPT = 2 ** 20;
const LONGEST_IN_MS = 30_000;
const MOST_REDIRECTS = 5;

const allowed = readAllowed(process.env.TWENTYOPS_TENANTS_MAY_REACH);
const agents = safeAgents(allowed);

const makeAxios = (largestAnswer: number): AxiosInstance => {
  const client = axios.create({
    httpAgent: agents.http,
    httpsAgent: agents.https,
    proxy: false,
    maxRedirects: MOST_REDIRECTS,
    maxContentLength: largestAnswer,
    maxBodyLength: LARGEST_BODY,
    timeout: LONGEST_IN_MS,
  });

  client.interceptors.request.use((request) => {
    request.signal ??= AbortSignal.timeout(request.timeout || LONGEST_IN_MS);

    return request;
  });

  return client;
};

/** An axios for such requests; a `timeout` of a request is the whole of its time, not that of silence. */
export const tenantAxios = makeAxios(LARGEST_BODY);

/** The same for steps of workflows: a run keeps the answer, and each further step of it is written with all answers before. */
export const tenantAxiosForSteps = makeAxios(LARGEST_KEPT);

/** What a client of mail connects to in place of the host that a tenant wrote. */
export const tenantHost = (host: string | undefined) =>
  safeHost(host, allowed);

// node-fetch's options, in the type of the browser's fetch that tsdav declares
const fetchOptions = {
  agent: ({ protocol }: URL) =>
    protocol === 'https:' ? agents.https : agents.http,
  follow: MOST_REDIRECTS,
  size: LARGEST_BODY,
  timeout: LONGEST_IN_MS,
} as RequestInit;

/** Headers for the calendar client (tsdav, by node-fetch), with the same limits. */
export const withTenantFetch = (headers: Record<string, string>) => ({
  headers,
  fetchOptions,
});
