/**
 * Serves the folder named by the first argument until it is killed; the first line of output is the port. The second
 * argument is more options, as JSON.
 */
import { startRegistry } from '../../../src/distribution/index.ts';

const [, , root = '', options = '{}'] = process.argv;
const { port } = await startRegistry({ root, ...JSON.parse(options) });
process.stdout.write(`${port}\n`);
