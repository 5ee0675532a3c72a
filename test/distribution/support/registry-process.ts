/** Serves the folder named by the first argument until it is killed; the first line of output is the port. */
import { startRegistry } from '../../../src/distribution/index.ts';

const { port } = await startRegistry({ root: process.argv[2]! });
process.stdout.write(`${port}\n`);
