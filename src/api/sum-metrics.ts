/**
 * The metrics of a node from those of its processes, each as text for Prometheus. Counters and histograms add up; what a
 * gauge says of the node all processes say alike, and the last one counts.
 */
export function sumMetrics(texts: readonly string[]): string {
  const families = new Map<string, Map<string, number>>();
  for (const text of texts) {
    let series: Map<string, number> = new Map();
    let adds = true;
    for (const line of text.split('\n').filter((each) => each !== '')) {
      if (line.startsWith('# TYPE ')) {
        series = families.get(line) ?? new Map();
        families.set(line, series);
        adds = !line.endsWith(' gauge');
        continue;
      }
      const at = line.lastIndexOf(' ');
      const name = line.slice(0, at);
      series.set(name, Number(line.slice(at + 1)) + (adds ? (series.get(name) ?? 0) : 0));
    }
  }
  const lines = [...families].flatMap(([type, series]) => [
    type,
    ...[...series].map(([name, value]) => `${name} ${value}`),
  ]);
  return lines.map((line) => `${line}\n`).join('');
}
