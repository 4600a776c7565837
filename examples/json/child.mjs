// run: PROGRAM
// want: ^[0-9a-f]{40} says \{"you said":"hello"\}$

// Runs two peers as child processes, a relay and one that writes to it.
//
//     node examples/json/child.mjs [PROGRAM]
//
// PROGRAM is the command peer-relay; without it the one in the path is run.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const [program = 'peer-relay'] = process.argv.slice(2)

/** Starts a peer, and calls the handler that has the name of the event for each event. */
const start = (args, handlers) => {
  const child = spawn(program, ['--json', ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  createInterface({ input: child.stdout }).on('line', line => {
    const event = JSON.parse(line)
    handlers[event.event]?.(event)
  })
  return {
    send: (to, data) => child.stdin.write(JSON.stringify({ send: { to, data } }) + '\n'),
    close: () => child.stdin.end()
  }
}

const relay = start(['--host', '127.0.0.1', '0'], {
  ready: ({ id, ws }) => {
    console.log('the relay is', id)
    const peer = start(['none', ws], {
      ready: () => peer.send(id, 'hello'),
      message: ({ from, data }) => {
        console.log(from, 'says', JSON.stringify(data))
        peer.close()
        relay.close()
      },
      error: ({ error }) => console.error(error)
    })
  },
  message: ({ from, data }) => relay.send(from, { 'you said': data }),
  error: ({ error }) => console.error(error)
})
