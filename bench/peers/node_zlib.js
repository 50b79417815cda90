// Peer: Node.js `ws` with `node:zlib`, doing for bots what the daemon does: one zlib stream for each connection.
// `node node_zlib.js PORT ADMIN sync|async LEVEL [WINDOW_BITS]`; it listens on the Unix socket ADMIN for what is published.
// async: as the documentation has it, in the thread pool. sync: the stream's own handle in this thread, into one buffer
// for all, which is the least that node:zlib can do.
'use strict'

const http = require('node:http')
const zlib = require('node:zlib')
const { WebSocketServer } = require('ws')

const [port, admin, how, level, bits] = process.argv.slice(2)
const SECRET = 'bench-secret'
const INTERVAL = 600000
const BACKLOG = 1 << 20 // bytes that may wait for one client before it is given up as a slow consumer
const windowBits = Number(bits || 15)
const STREAM = { level: Number(level), windowBits, memLevel: Math.min(8, windowBits - 7) }
const FLUSH = zlib.constants.Z_SYNC_FLUSH
const scratch = Buffer.allocUnsafeSlow(1 << 18)

const bots = new Set()

class Violation extends Error {
  constructor(code, reason) {
    super(reason)
    this.code = code
  }
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

function plainly(socket, text, done) {
  socket.send(text)
  done?.()
}

function synchronously() {
  const stream = zlib.createDeflate(STREAM)
  const handle = stream._handle
  const left = stream._writeState // [bytes of output that are free, bytes of input that are left]
  return (socket, text, done) => {
    const data = Buffer.from(text)
    handle.writeSync(FLUSH, data, 0, data.length, scratch, 0, scratch.length)
    if (left[0] === 0 || left[1] !== 0) throw new Error('a message that is larger than the buffer')
    socket.send(Buffer.from(scratch.subarray(0, scratch.length - left[0])), { binary: true })
    done?.()
  }
}

function asynchronously() {
  const stream = zlib.createDeflate({ ...STREAM, chunkSize: 1024 })
  const parts = []
  stream.on('data', (part) => parts.push(part))
  return (socket, text, done) => {
    stream.write(text)
    stream.flush(FLUSH, () => {
      if (socket.readyState === 1) socket.send(parts.length === 1 ? parts[0] : Buffer.concat(parts), { binary: true })
      parts.length = 0
      done?.()
    })
  }
}

function told(socket, text, done) {
  if (socket.bufferedAmount > BACKLOG) {
    socket.terminate()
    done?.()
  } else {
    socket.write(socket, text, done)
  }
}

function publish(text, done) {
  const { event, data } = JSON.parse(text)
  // Encoded once; only the number in front of it is each session's own.
  const body = `,"op":0,"t":${JSON.stringify(event)},"d":${JSON.stringify(data)}}`
  let left = bots.size
  if (left === 0) done()
  const one = () => --left || done()
  for (const socket of bots) told(socket, `{"s":${++socket.number}${body}`, one)
}

function received(socket, text) {
  const payload = JSON.parse(text)
  if (!isObject(payload)) throw new Violation(4002, 'a payload must be an object')
  if (payload.op === 1) {
    if (payload.d !== null && !(payload.d <= socket.number)) throw new Violation(4007, 'no such number')
    socket.deadline = Date.now() + 2 * INTERVAL
    told(socket, '{"op":11}')
  } else if (payload.op === 2) {
    if (bots.has(socket)) throw new Violation(4005, 'already identified')
    if (!isObject(payload.d) || typeof payload.d.intents !== 'number') throw new Violation(4002, 'intents are missing')
    if (payload.d.token !== SECRET) throw new Violation(4004, 'authentication failed')
    const ready = { v: 10, session_id: Math.random().toString(16), user: { id: '1', username: 'bot' }, guilds: [] }
    told(socket, JSON.stringify({ s: ++socket.number, op: 0, t: 'READY', d: ready }))
    bots.add(socket)
  } else {
    throw new Violation(4001, 'unknown opcode')
  }
}

const web = http.createServer()
const server = new WebSocketServer({ server: web, perMessageDeflate: false, maxPayload: 4096 })

server.on('connection', (socket, request) => {
  const compressed = request.url.includes('compress=zlib-stream')
  socket.write = compressed ? (how === 'sync' ? synchronously() : asynchronously()) : plainly
  socket.number = 0
  socket.deadline = Date.now() + 2 * INTERVAL
  socket.on('message', (data) => {
    try {
      received(socket, data.toString())
    } catch (error) {
      socket.close(error.code ?? 4002, error.message) // without a code: not JSON
    }
  })
  socket.on('error', () => {})
  socket.on('close', () => bots.delete(socket))
  told(socket, JSON.stringify({ op: 10, d: { heartbeat_interval: INTERVAL } }))
})

setInterval(() => {
  const now = Date.now()
  for (const socket of server.clients) if (socket.deadline < now) socket.close(4009, 'heartbeat missed')
}, 1000)

const operator = http.createServer((request, response) => {
  let text = ''
  request.on('data', (part) => (text += part))
  request.on('end', () => publish(text, () => response.end('{}')))
})

operator.listen(admin, () =>
  web.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 }, () => console.log('ready')),
)
