import { expect, test } from 'vitest';
import { sumMetrics } from '../../src/api/sum-metrics.ts';

test('what processes count adds up; what all of them say of the node stays', () => {
  const one = `# TYPE pulls counter
pulls{policy="always"} 2
pulls{policy="never"} 1
# TYPE seconds histogram
seconds_bucket{size="a b",le="+Inf"} 1
seconds_sum{size="a b"} 1.5
# TYPE files gauge
files 3
`;
  const other = `# TYPE collected counter
# TYPE pulls counter
pulls{policy="always"} 5
# TYPE seconds histogram
seconds_bucket{size="a b",le="+Inf"} 1
seconds_sum{size="a b"} 0.5
# TYPE files gauge
files 4
`;
  expect(sumMetrics([one])).toBe(one);
  expect(sumMetrics([one, other])).toBe(`# TYPE pulls counter
pulls{policy="always"} 7
pulls{policy="never"} 1
# TYPE seconds histogram
seconds_bucket{size="a b",le="+Inf"} 2
seconds_sum{size="a b"} 2
# TYPE files gauge
files 4
# TYPE collected counter
`);
});
