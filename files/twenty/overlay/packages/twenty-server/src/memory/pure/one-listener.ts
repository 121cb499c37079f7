// SPDX-License-Identifier: AGPL-3.0-only

// As Node's emitters have it: what a listener is given is the emitter's to say.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Listener = (...values: any[]) => void;
type Emitter = { on(event: string, listener: Listener): unknown };

/** Listen to an event once and for all: who asks to listen to it later is not added, and so not kept alive. */
export const withOneListener = (
  emitter: Emitter,
  event: string,
  listener: Listener,
): void => {
  const on = emitter.on.bind(emitter);

  on(event, listener);
  emitter.on = (name: string, another: Listener) =>
    name === event ? emitter : on(name, another);
};
