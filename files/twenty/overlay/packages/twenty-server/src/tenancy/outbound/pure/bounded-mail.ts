// SPDX-License-Identifier: AGPL-3.0-only
// A mail server that a tenant chose may send whatever it likes. The client (imapflow) keeps literals of 1 GB and lines without end in
// memory, makes a list of every number in `VANISHED 1:4294967295`, and emits an 'error' that ends the process where nobody listens.

import { type EventEmitter } from 'node:events';

/**
 * `bytes`: all that a connection may receive, after decompression; `literal`: one literal of it, a mail with its attachments; `text`: bytes
 * of one response without its literals.
 */
export type MailLimits = {
  bytes: number;
  literal: number;
  text: number;
  responses: number;
  folders: number;
};

// In the worker, which reads mails, a few hundred over one connection.
export const MAIL_LIMITS: MailLimits = {
  bytes: 256 * 2 ** 20,
  literal: 50 * 2 ** 20,
  text: 2 * 2 ** 20,
  responses: 200_000,
  folders: 3_000,
};

// In the server, which tries a new account and lists its folders: a folder costs 0.3 ms of the time that everybody shares.
export const TRIAL_LIMITS: MailLimits = {
  bytes: 4 * 2 ** 20,
  literal: 2 ** 20,
  text: 256 * 2 ** 10,
  responses: 5_000,
  folders: 3_000,
};

// What of imapflow's client is used here. `streamer` reads what comes, whichever way it comes: plain, by TLS or compressed.
type Streamer = {
  write(chunk: unknown, ...rest: unknown[]): boolean;
  push(response: unknown, ...rest: unknown[]): boolean;
  literalWaiting: number;
};
type MailClient = EventEmitter & {
  close(): void;
  streamer: Streamer;
  untaggedVanished(...given: unknown[]): Promise<void>;
};

const OF_A_FOLDER = /^\*\s+(?:LIST|LSUB|XLIST)\b/i;

const assertMailClient = (client: EventEmitter): MailClient => {
  const { streamer, close, untaggedVanished } = client as MailClient;

  if (
    typeof close !== 'function' ||
    typeof untaggedVanished !== 'function' ||
    typeof streamer?.write !== 'function' ||
    typeof streamer.push !== 'function' ||
    typeof streamer.literalWaiting !== 'number'
  ) {
    throw new Error(
      'The mail client has another shape than bounded-mail.ts expects: read what changed in imapflow, and adapt it',
    );
  }

  return client as MailClient;
};

/** The same client, which closes at its first error and at what goes over `limits`; whoever waits for an answer of it gets an error then. */
export const boundMail = <Client extends EventEmitter>(
  given: Client,
  log: (message: string) => void,
  limits: MailLimits,
): Client => {
  const client = assertMailClient(given);
  const { streamer } = client;
  let bytes = 0;
  let responses = 0;
  let folders = 0;
  let isOver = false;

  const end = (why: string): boolean => {
    if (!isOver) {
      isOver = true;
      log(`the connection is closed: ${why}`);
      client.close();
    }

    // "no more for now" to whoever pipes into it
    return false;
  };

  client.on('error', (error: unknown) => {
    end(error instanceof Error ? error.message : 'an error without a message');
  });
  // Nobody here asks what vanished.
  client.untaggedVanished = async () => {};

  const write = streamer.write.bind(streamer);
  const push = streamer.push.bind(streamer);

  streamer.write = (chunk, ...rest) => {
    if (isOver) {
      return false;
    }
    bytes += (chunk as { length?: number } | null)?.length ?? 0;
    if (bytes > limits.bytes) {
      return end(`it sent more than ${limits.bytes} bytes`);
    }

    const goesOn = write(chunk, ...rest);

    if (streamer.literalWaiting > limits.literal) {
      return end(`it announced a literal of more than ${limits.literal} bytes`);
    }

    return goesOn;
  };
  streamer.push = (response, ...rest) => {
    const text = (response as { payload?: Uint8Array } | null)?.payload;

    if (text === undefined) {
      return push(response, ...rest);
    }
    if (isOver) {
      return false;
    }
    if (text.length > limits.text) {
      return end(`it sent a response of more than ${limits.text} bytes`);
    }
    responses += 1;
    if (responses > limits.responses) {
      return end(`it sent more than ${limits.responses} responses`);
    }
    if (OF_A_FOLDER.test(Buffer.from(text.subarray(0, 32)).toString('latin1'))) {
      folders += 1;
      if (folders > limits.folders) {
        return end(`it has more than ${limits.folders} folders`);
      }
    }

    return push(response, ...rest);
  };

  return given;
};
