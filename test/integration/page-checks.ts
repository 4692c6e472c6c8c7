// What can be wrong with a page's looks and be told by a program. Each function runs inside the page, so it stands alone,
// and answers what it found, one line for each; nothing is the best answer.

/** Plots that show no data: without a mark of any size, or too small themselves. */
export function emptyPlots(): string[] {
  const plots = [...document.querySelectorAll('svg')];
  if (plots.length === 0) return ['there are no plots'];
  const DATA = ['bar', 'rect', 'dot', 'line', 'link'].map((mark) => `[aria-label="${mark}"]`).join();
  return plots
    .filter((svg) => {
      const { width, height } = svg.getBoundingClientRect();
      const marks = [...svg.querySelectorAll(`:is(${DATA}) :is(rect, circle, path)`)];
      const seen = marks.filter((mark) => {
        const box = mark.getBoundingClientRect();
        return box.width + box.height > 1;
      });
      return width < 200 || height < 60 || seen.length === 0;
    })
    .map((svg) => `empty: ${svg.getAttribute('aria-label')}`);
}

/** Marks and texts that leave their plot's box. */
export function outsideOfPlots(): string[] {
  return [...document.querySelectorAll('svg')].flatMap((svg) => {
    const frame = svg.getBoundingClientRect();
    const parts = [...svg.querySelectorAll('text, rect, circle, path, line')];
    return parts
      .filter((part) => {
        const box = part.getBoundingClientRect();
        const slack = 1;
        return (
          box.left < frame.left - slack ||
          box.right > frame.right + slack ||
          box.top < frame.top - slack ||
          box.bottom > frame.bottom + slack
        );
      })
      .map((part) => `${part.tagName} '${part.textContent}' leaves: ${svg.getAttribute('aria-label')}`);
  });
}

/** Pairs of texts in a plot that lie over each other. */
export function overlappingLabels(): string[] {
  return [...document.querySelectorAll('svg')].flatMap((svg) => {
    const texts = [...svg.querySelectorAll('text')].filter((text) => text.textContent?.trim());
    const boxes = texts.map((text) => text.getBoundingClientRect());
    return texts.flatMap((text, i) =>
      texts
        .slice(i + 1)
        .filter((_, j) => {
          const [a, b] = [boxes[i]!, boxes[i + 1 + j]!];
          const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
          const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
          // Boxes are as high as the font's tallest letters, so neighbouring lines may share a little.
          return across > 1 && down > 3;
        })
        .map(
          (other) => `'${text.textContent}' over '${other.textContent}': ${svg.getAttribute('aria-label')}`,
        ),
    );
  });
}

/** Elements that reach beyond the page, other than inside of what scrolls. */
export function widerThanPage(): string[] {
  const width = document.documentElement.clientWidth;
  const found = document.documentElement.scrollWidth > width ? ['the page scrolls sideways'] : [];
  for (const element of document.body.querySelectorAll('*')) {
    if (element.closest('.scroll, .drawing') && !element.matches('.scroll, .drawing')) continue;
    const { left, right } = element.getBoundingClientRect();
    if (left < -1 || right > width + 1) found.push(`<${element.tagName}> ${element.className} is too wide`);
  }
  return found;
}

/** Texts whose contrast with what is behind them is below 4.5, the least that WCAG 2 asks of body text. */
export function faintTexts(): string[] {
  const parse = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (colour: number[]) => {
    const [r, g, b] = colour.slice(0, 3).map((channel) => {
      const share = channel / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const behind = (element: Element): number[] => {
    for (let at: Element | null = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const texts = document.querySelectorAll(
    'h1, h2, h3, p, li, dt, dd, td, th, figcaption, summary, strong, span, text',
  );
  const found = new Set<string>();
  for (const text of texts) {
    const style = getComputedStyle(text);
    const colour = text.tagName === 'text' ? style.fill : style.color;
    const [a, b] = [luminance(parse(colour)), luminance(behind(text))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5)
      found.add(`${contrast.toFixed(1)}: <${text.tagName}> '${text.textContent?.slice(0, 30)}'`);
  }
  return [...found];
}
