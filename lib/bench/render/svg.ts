// Draws a plot to SVG without a browser: Observable Plot on xmldom's document.

import * as Plot from '@observablehq/plot';
import { DOMImplementation, type Element, XMLSerializer } from '@xmldom/xmldom';
import { visible } from './visible.js';

/** A plot as SVG for use inside HTML, everything in it escaped; `label` is read out instead of it. */
export function drawSvg(label: string, options: Plot.PlotOptions): string {
  const document = new DOMImplementation().createDocument('http://www.w3.org/1999/xhtml', 'html');
  const svg = Plot.plot({
    className: 'plot',
    // As text: xmldom's elements have no style object.
    style: 'font-size: 12px',
    ...options,
    // What Plot calls of a browser's document is in xmldom's too; its type is not among a Node program's.
    document: document as unknown as NonNullable<Plot.PlotOptions['document']>,
    ariaLabel: visible(label),
  }) as unknown as Element;
  svg.setAttribute('role', 'img');
  // Plot brings its style along in every picture; the page has it once.
  for (const child of Array.from(svg.childNodes)) if (child.nodeName === 'style') svg.removeChild(child);
  return new XMLSerializer().serializeToString(svg);
}
