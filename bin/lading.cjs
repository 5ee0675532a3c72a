#!/usr/bin/env node
// The installed command: runs in this process when Node.js is new enough, else in one that npm installs the first time.
'use strict';

if (Number(process.versions.node.split('.')[0]) >= 24) require('./program.cjs').runProgram();
else import('./toolchain.mjs').then(({ runNode }) => runNode([__filename, ...process.argv.slice(2)]));
