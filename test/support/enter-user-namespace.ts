/** Runs the Node program that its arguments name in a user namespace, as `lading` does for users who are not root. */
import { reexecInUserNamespace } from '../../src/runtime/index.ts';

process.exit(await reexecInUserNamespace(process.argv.slice(2)));
