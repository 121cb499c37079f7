// SPDX-License-Identifier: AGPL-3.0-only

export type Fetch = typeof fetch;

export type FetchedJson =
  | { kind: 'json'; body: unknown }
  | {
      kind: 'status';
      status: number;
      retryAfterInSeconds: number | undefined;
      // Clerk's own word for what is wrong (errors[0].code); absent: somebody else answered.
      code?: string;
    }
  // No answer, too late, too large, or no JSON.
  | { kind: 'failed' };

export type FetchLimits = {
  timeoutInMs: number;
  largestAnswer: number;
  headers?: Record<string, string>;
};

const readLimited = async (
  response: Response,
  limit: number,
): Promise<string | undefined> => {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let size = 0;
  let text = '';

  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > limit) {
      return undefined;
    }
    text += decoder.decode(chunk, { stream: true });
  }

  return text + decoder.decode();
};

const readCode = (text: string | undefined): { code?: string } => {
  try {
    const { errors } = JSON.parse(text ?? '') as {
      errors?: { code?: unknown }[];
    };
    const code = errors?.[0]?.code;

    return typeof code === 'string' ? { code } : {};
  } catch {
    return {};
  }
};

// One GET within its limits, no redirect followed. Never throws: what went wrong is an answer.
export const fetchJson = async (
  fetch: Fetch,
  url: string,
  { timeoutInMs, largestAnswer, headers }: FetchLimits,
): Promise<FetchedJson> => {
  const ending = new AbortController();
  // One limit for all of it: an answer that drips in is none.
  const timer = setTimeout(() => ending.abort(), timeoutInMs);

  try {
    const response = await fetch(url, {
      headers: { accept: 'application/json', ...headers },
      redirect: 'error',
      signal: ending.signal,
    });

    if (response.status !== 200) {
      const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);

      return {
        kind: 'status',
        status: response.status,
        retryAfterInSeconds:
          Number.isInteger(seconds) && seconds >= 0 ? seconds : undefined,
        ...readCode(await readLimited(response, largestAnswer)),
      };
    }

    const text = await readLimited(response, largestAnswer);

    return text === undefined
      ? { kind: 'failed' }
      : { kind: 'json', body: JSON.parse(text) as unknown };
  } catch {
    return { kind: 'failed' };
  } finally {
    clearTimeout(timer);
    // Closes what was not read to its end.
    ending.abort();
  }
};
