// A small server with a memory: what is POSTed to it is kept in a file and shown to whoever asks.
'use strict';

const { createServer } = require('node:http');
const { createWriteStream, readFileSync, renameSync } = require('node:fs');
const { hostname } = require('node:os');
const { pipeline } = require('node:stream');

const stored = '/var/data/kubia.txt';
const version = process.env.KUBIA_VERSION || 'v1';
const prefix = version === 'v1' ? '' : `${version}, `;

function show(response) {
  let text = 'No data posted yet';
  try {
    text = readFileSync(stored, 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  response.end(`You've hit ${hostname()}\n${prefix}Data stored on this Pod: ${text}\n`);
}

function store(request, response) {
  const draft = `${stored}.new`;
  pipeline(request, createWriteStream(draft), (error) => {
    if (error) {
      response.writeHead(500);
      response.end(`could not store: ${error.message}\n`);
      return;
    }
    renameSync(draft, stored);
    console.log('stored what was posted');
    response.end(`Data stored on ${hostname()}\n`);
  });
}

const server = createServer((request, response) => {
  if (request.method === 'POST') store(request, response);
  else show(response);
});
server.listen(8080, () => console.log(`kubia ${version} listens on 8080`));

// Process 1 of a container gets no default handling of signals.
process.on('SIGTERM', () => {
  console.log('asked to stop');
  process.exit(0);
});
