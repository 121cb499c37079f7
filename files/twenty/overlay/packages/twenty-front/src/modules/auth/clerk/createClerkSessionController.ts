// SPDX-License-Identifier: AGPL-3.0-only
import {
  advanceClerkSession,
  INITIAL_CLERK_SESSION_STATE,
} from './clerkSessionMachine';
import type {
  ClerkExchangeAnswer,
  ClerkExchangedSession,
  ClerkLoopMemory,
  ClerkSessionCommand,
  ClerkSessionEvent,
  ClerkSessionState,
} from './clerkSessionTypes';

/* What the decisions need of the world around them. */
export type ClerkSessionPorts = {
  now: () => number;
  random: () => number;
  readMemory: () => ClerkLoopMemory;
  writeMemory: (memory: ClerkLoopMemory) => void;
  /* Calls back once after delayMs; gives what takes it back. */
  schedule: (delayMs: number, callback: () => void) => () => void;
  exchange: (isTokenFresh: boolean) => Promise<ClerkExchangeAnswer>;
  redirectToClerk: () => void;
  signOutOfClerk: () => Promise<void>;
  handOver: (session: ClerkExchangedSession) => void;
  forget: () => void;
  restart: (at: 'home' | 'here') => void;
  move: (home: string) => void;
};

export type ClerkSessionController = {
  getState: () => ClerkSessionState;
  subscribe: (listener: () => void) => () => void;
  send: (event: ClerkSessionEvent) => void;
};

/* One for a page load, outside of React: nothing that renders twice can exchange twice. */
export const createClerkSessionController = (
  ports: ClerkSessionPorts,
): ClerkSessionController => {
  let state = INITIAL_CLERK_SESSION_STATE;
  let takeBack: (() => void) | null = null;
  let runningExchange = 0;
  const listeners = new Set<() => void>();

  const perform = (command: ClerkSessionCommand): void => {
    switch (command.type) {
      case 'exchange': {
        const exchange = ++runningExchange;

        ports
          .exchange(command.isTokenFresh)
          .catch(
            (): ClerkExchangeAnswer => ({
              kind: 'unavailable',
              retryAfterSeconds: null,
            }),
          )
          .then((answer) => {
            // an answer to a question that was asked anew is no answer
            if (exchange === runningExchange) {
              send({ type: 'answer', identity: command.identity, answer });
            }
          });

        return;
      }
      case 'schedule':
        takeBack = ports.schedule(command.delayMs, () => {
          takeBack = null;
          send({ type: 'tick' });
        });

        return;
      case 'redirect-to-clerk':
        return ports.redirectToClerk();
      case 'sign-out-of-clerk':
        ports
          .signOutOfClerk()
          .then(() => send({ type: 'clerk', report: { kind: 'signed-out' } }))
          .catch(() => send({ type: 'sign-out-failed' }));

        return;
      case 'hand-over':
        return ports.handOver(command.session);
      case 'forget':
        return ports.forget();
      case 'restart':
        return ports.restart(command.at);
      case 'move':
        return ports.move(command.home);
    }
  };

  const send = (event: ClerkSessionEvent): void => {
    const step = advanceClerkSession(state, event, {
      now: ports.now(),
      random: ports.random(),
      memory: ports.readMemory(),
    });

    if (step.state === state && step.commands.length === 0) {
      return;
    }

    takeBack?.();
    takeBack = null;
    state = step.state;

    if (state.phase !== 'exchanging') {
      runningExchange++; // whatever is on its way is not waited for any more
    }

    ports.writeMemory(step.memory);
    step.commands.forEach(perform);
    listeners.forEach((listener) => listener());
  };

  return {
    getState: () => state,
    subscribe: (listener) => {
      listeners.add(listener);

      return () => listeners.delete(listener);
    },
    send,
  };
};
