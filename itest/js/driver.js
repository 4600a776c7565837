'use strict'

// A process of real foreign peers, driven by JSON lines.
//
//   stdin    {"id":7,"op":"send",…}              one command a line
//   stdout   {"id":7,"ok":{…}} | {"id":7,"error":"…"}   exactly one reply to each
//            {"event":"message",…}               and events, in the order they happened
//
// Replies and events share one stream, so a reader sees an event before the reply
// to a command that caused it. The end of stdin ends the process with status 0.
// Nothing here catches what a peer throws on its own: a crash is reported as the
// event "crash" and then kills the process as it would kill any Node program.

const readline = require('node:readline')

require('./loopback')

function write (line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}

function emit (event, fields) {
  write({ event, ...fields })
}

process.on('uncaughtExceptionMonitor', (err) => {
  emit('crash', { error: String((err && err.stack) || err) })
})

const ops = {
  ...require('./peers')(emit),
  ...require('./sockets')(emit),
  ...require('./raw')(emit),
  ...require('./tap')(emit),

  // canon returns what Node itself makes of JSON texts: one {text} or {error} each.
  canon ({ texts }) {
    return {
      results: texts.map((text) => {
        try {
          return { text: JSON.stringify(JSON.parse(text)) }
        } catch (err) {
          return { error: err.message }
        }
      })
    }
  },

  // crash throws outside every operation, as a peer does that fails by itself.
  crash () {
    setImmediate(() => { throw new Error('a crash on purpose') })
  },

  memory () {
    return { rss: process.memoryUsage().rss, cpuMicros: Object.values(process.cpuUsage()).reduce((a, b) => a + b) }
  }
}

async function run (command) {
  const { id, op } = command
  try {
    if (!Object.hasOwn(ops, op)) throw new Error(`no operation ${op}`)
    // An operation that answers at once is answered in the same turn, before anything else can happen.
    const result = ops[op](command)
    write({ id, ok: (result instanceof Promise ? await result : result) ?? {} })
  } catch (err) {
    write({ id, error: String((err && err.message) || err) })
  }
}

const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity })
lines.on('line', (line) => run(JSON.parse(line)))
lines.on('close', () => process.exit(0))

emit('started', { node: process.version })
