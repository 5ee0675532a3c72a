/** Collects the garbage of the registry in the folder named by the first argument; prints the report as JSON. */
import { collectRegistryGarbage } from '../../../src/distribution/index.ts';

const [, , root = '', graceMs = '0'] = process.argv;
process.stdout.write(JSON.stringify(await collectRegistryGarbage(root, { graceMs: Number(graceMs) })));
