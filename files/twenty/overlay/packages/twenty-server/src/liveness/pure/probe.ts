// SPDX-License-Identifier: AGPL-3.0-only

// One question that is asked again and again. While it is not answered it is not asked a second time: what hangs would only be
// given more to hang on.
export class Probe {
  readonly name: string;
  private readonly ask: () => Promise<unknown>;
  private pending: Promise<string | null> | undefined;

  constructor(name: string, ask: () => Promise<unknown>) {
    this.name = name;
    this.ask = ask;
  }

  // Null: answered within so many milliseconds. Else why not, in words.
  async complaint(withinMs: number): Promise<string | null> {
    this.pending ??= this.begin();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(
        () => resolve(`no answer within ${withinMs} ms`),
        withinMs,
      );
    });

    try {
      return await Promise.race([this.pending, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private async begin(): Promise<string | null> {
    try {
      await this.ask();

      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      this.pending = undefined;
    }
  }
}
