// SPDX-License-Identifier: AGPL-3.0-only
// The queue is a Redis of 96 MB that refuses writes when it is full, and with it every change of every tenant. A job is JSON in it, and
// upstream keeps those that are done.

/** Bytes of JSON that the events of one change may put into a job. */
export const MOST_OF_EVENTS = 2 ** 20;
/** Bytes of JSON of any job. */
export const LARGEST_JOB = 2 * 2 ** 20;
/** Jobs above are deleted when they are done or have failed. */
const KEPT_UP_TO = 16 * 2 ** 10;

// How long a text may be, tried in this order until the whole fits.
const CUTS = [16_384, 1_024, 64];
const CUT = ' [cut]';

export const sizeOf = (value: unknown): number =>
  Buffer.byteLength(JSON.stringify(value) ?? '');

const cutText = (text: string, longest: number): string => {
  if (text.length <= longest) {
    return text;
  }

  const end = text.charCodeAt(longest - 1);

  // Half a character (a lone surrogate) would be refused by Postgres.
  return text.slice(0, end >= 0xd800 && end <= 0xdbff ? longest - 1 : longest) + CUT;
};

const cutTexts = (value: unknown, longest: number): unknown =>
  value === undefined
    ? undefined
    : JSON.parse(
        JSON.stringify(value, (_key, part: unknown) =>
          typeof part === 'string' ? cutText(part, longest) : part,
        ),
      );

// What people wrote: of an event, and of what a webhook is sent. Names, ids and addresses beside it are never cut.
type Event = { properties?: unknown; record?: unknown };

const cutEvent = <Given extends object>(given: Given, longest: number): Given => {
  const { properties, record } = given as Event;

  return {
    ...given,
    ...(properties === undefined
      ? {}
      : { properties: cutTexts(properties, longest) }),
    ...(record === undefined ? {} : { record: cutTexts(record, longest) }),
  };
};

const firstThatFits = <Value>(
  value: Value,
  cut: (longest: number) => Value,
  most: number,
): Value | undefined => {
  if (sizeOf(value) <= most) {
    return value;
  }
  for (const longest of CUTS) {
    const shorter = cut(longest);

    if (sizeOf(shorter) <= most) {
      return shorter;
    }
  }

  return undefined;
};

type Batch = { events: readonly object[] };

/** Batches that hold the events of `batch`, each of at most `most` bytes, texts cut where they must be; and how many events fit in none. */
export const fitBatches = <Given extends Batch>(
  batch: Given,
  most: number,
): { batches: Given[]; leftOut: number } => {
  const { events } = batch;

  if (sizeOf({ ...batch, events: [] }) > most) {
    return { batches: [], leftOut: events.length };
  }

  const whole = firstThatFits(
    batch,
    (longest) => ({
      ...batch,
      events: events.map((event) => cutEvent(event, longest)),
    }),
    most,
  );

  if (whole !== undefined) {
    return { batches: [whole], leftOut: 0 };
  }
  if (events.length <= 1) {
    return { batches: [], leftOut: events.length };
  }

  const middle = Math.ceil(events.length / 2);
  const halves = [events.slice(0, middle), events.slice(middle)].map((half) =>
    fitBatches({ ...batch, events: half }, most),
  );

  return {
    batches: halves.flatMap(({ batches }) => batches),
    leftOut: halves.reduce((sum, { leftOut }) => sum + leftOut, 0),
  };
};

/** Events that are sent to several webhooks, each cut to its share of `most` where all of them are more than that. */
export const shareAmong = <Given extends object>(
  events: readonly Given[],
  most: number,
): Given[] => {
  if (sizeOf(events) <= most) {
    return [...events];
  }

  const share = Math.max(2_048, Math.floor(most / events.length) - 1);

  return events.flatMap((event) => {
    const fitting = firstThatFits(
      event,
      (longest) => cutEvent(event, longest),
      share,
    );

    return fitting === undefined ? [] : [fitting];
  });
};

/** Options of a job of this size: large ones are not kept. An Error where it is larger than any may be. */
export const optionsForSize = <Options extends object>(
  name: string,
  data: unknown,
  options: Options,
): Options => {
  const size = sizeOf(data);

  if (size > LARGEST_JOB) {
    throw new Error(
      `The job ${name} has ${size} bytes and is refused: at most ${LARGEST_JOB}`,
    );
  }

  return size > KEPT_UP_TO
    ? { ...options, removeOnComplete: true, removeOnFail: true }
    : options;
};
