// What a draft's probabilities tell of its acceptance. Rows are first drafts, { accepted, probability }.

/** Share of the rows that were accepted. */
export function share(rows) {
  return rows.filter(({ accepted }) => accepted > 0).length / rows.length;
}

/** How likely an accepted draft has a higher probability than a refused one; NaN where there is none of either. */
export function auc(rows) {
  const sorted = [...rows].sort((a, b) => a.probability - b.probability);
  const good = sorted.filter(({ accepted }) => accepted > 0).length;
  let rankSum = 0;
  sorted.forEach(({ accepted }, i) => {
    if (accepted > 0) rankSum += i + 1;
  });
  return (rankSum - (good * (good + 1)) / 2) / (good * (sorted.length - good));
}

/** Mean distance between probability and acceptance over ten bins of equal width, by how much is in them. */
export function calibrationError(rows) {
  const bins = Array.from({ length: 10 }, () => []);
  for (const row of rows) bins[Math.min(9, Math.floor(row.probability * 10))].push(row);
  return bins.reduce((sum, bin) => {
    if (bin.length === 0) return sum;
    const probability = bin.reduce((total, row) => total + row.probability, 0) / bin.length;
    return sum + (bin.length / rows.length) * Math.abs(probability - share(bin));
  }, 0);
}
