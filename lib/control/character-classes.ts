// Classes of UTF-16 units, as far as kinds of text need them.

export function isDigit(c: number): boolean {
  return c >= 48 && c <= 57;
}

export function isCapital(c: number): boolean {
  return c >= 65 && c <= 90;
}

export function isSmall(c: number): boolean {
  return c >= 97 && c <= 122;
}

/** Letters, as far as this needs them: everything beyond ASCII that is not punctuation or a symbol of mathematics. */
export function isLetter(c: number): boolean {
  if (c < 128) return isSmall(c) || isCapital(c);
  if (c < 0xc0) return false;
  return !isMathSymbol(c) && !(c >= 0x2000 && c < 0x2e80) && !(c >= 0x3000 && c < 0x3040) && c < 0xff00;
}

/** Superscripts, times, divided by, arrows, operators, and the high half of mathematical letters. */
export function isMathSymbol(c: number): boolean {
  if (c < 128) return false;
  return (
    c === 0xb2 ||
    c === 0xb3 ||
    c === 0xd7 ||
    c === 0xf7 ||
    c === 0x3c0 ||
    (c >= 0x2070 && c <= 0x209f) ||
    (c >= 0x2190 && c <= 0x22ff) ||
    c === 0xd835
  );
}

export function isOperator(c: number): boolean {
  return isIn(c, '+-*/=<>^');
}

export function isIn(c: number, characters: string): boolean {
  for (let i = 0; i < characters.length; i++) if (characters.charCodeAt(i) === c) return true;
  return false;
}
