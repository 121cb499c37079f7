// SPDX-License-Identifier: AGPL-3.0-only

type Listener = (...values: never[]) => void;
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
