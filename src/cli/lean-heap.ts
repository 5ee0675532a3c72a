/**
 * Imported before everything else: from then on V8 collects young objects each MiB instead of letting their space grow
 * to 16 MiB. Loading modules would do that at once; it takes no longer, and a pull takes 20 MB less.
 */
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--semi-space-growth-factor=1');
