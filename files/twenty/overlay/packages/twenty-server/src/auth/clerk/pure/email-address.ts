// SPDX-License-Identifier: AGPL-3.0-only

/**
 * An e-mail address as it is compared, and whether it may stand for a person. Only ASCII is folded. Where the whole of Unicode
 * folds otherwise (U+212A, the Kelvin sign, becomes a plain k), the address could pass for somebody else's: not `sound`.
 */
export const readEmailAddress = (
  text: string,
): { email: string; sound: boolean } => {
  const found = text.trim();
  const email = found.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

  return { email, sound: email === found.toLowerCase() };
};
