// Makes every character of a text visible: models write anything.

/**
 * Text for a page or picture: line ends and other control characters are shown as signs, and what would turn the
 * direction of writing, or is half of a character, as U+FFFD.
 */
export function visible(text: string): string {
  return [...text.replace(/\r?\n/g, '⏎')].map(sign).join('');
}

function sign(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  const hidden =
    (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  const broken = (code >= 0xd800 && code <= 0xdfff) || code === 0xfffe || code === 0xffff;
  return hidden || broken ? '\ufffd' : character;
}
