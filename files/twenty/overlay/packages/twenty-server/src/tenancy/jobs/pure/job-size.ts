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

const cutTexts = <Value>(value: Value, longest: number): Value =>
  JSON.parse(
    JSON.stringify(value, (_key, part: unknown) =>
      typeof part === 'string' ? cutText(part, longest) : part,
    ),
  );

/** `value` as it is where it fits, else with its texts cut until it does; undefined where it never does. Cut or not, the shape stays. */
export const fit = <Value>(value: Value, most: number): Value | undefined => {
  if (sizeOf(value) <= most) {
    return value;
  }
  for (const longest of CUTS) {
    const cut = cutTexts(value, longest);

    if (sizeOf(cut) <= most) {
      return cut;
    }
  }

  return undefined;
};

type Batch = { events: readonly unknown[] };

/** Batches that hold the events of `batch`, each of which fits; and how many events fit alone in none. */
export const fitBatches = <Given extends Batch>(
  batch: Given,
  most: number,
): { batches: Given[]; leftOut: number } => {
  const whole = fit(batch, most);

  if (whole !== undefined) {
    return { batches: [whole], leftOut: 0 };
  }
  if (batch.events.length <= 1) {
    return { batches: [], leftOut: batch.events.length };
  }

  const middle = Math.ceil(batch.events.length / 2);
  const halves = [
    fitBatches({ ...batch, events: batch.events.slice(0, middle) }, most),
    fitBatches({ ...batch, events: batch.events.slice(middle) }, most),
  ];

  return {
    batches: halves.flatMap(({ batches }) => batches),
    leftOut: halves.reduce((sum, { leftOut }) => sum + leftOut, 0),
  };
};

/** Events that are sent to several webhooks, each cut to its share of `most` where all of them are more than that. */
export const shareAmong = <Event>(
  events: readonly Event[],
  most: number,
): Event[] => {
  if (sizeOf(events) <= most) {
    return [...events];
  }

  const share = Math.max(2_048, Math.floor(most / events.length));

  return events
    .map((event) => fit(event, share))
    .flatMap((event) => (event === undefined ? [] : [event]));
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
