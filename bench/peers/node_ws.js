// Peer: Node.js `ws`, doing for oxyl and utilbot what the daemon does.
// `node node_ws.js PORT PROTOCOL [CERT KEY] [unbound|prepared]`
// unbound: it gives up nobody, as the library does by itself.
// prepared: an event is framed once, by the library's Sender.frame, and what is said in one tick is one write for each
// client, past the library to its socket. No documented call of `ws` does this: it is the least that Node can do.
'use strict'

const http = require('node:http')
const https = require('node:https')
const fs = require('node:fs')
const { Sender, WebSocketServer } = require('ws')

const options = process.argv.slice(2)
const unbound = options.at(-1) === 'unbound' && options.pop()
const prepared = options.at(-1) === 'prepared' && options.pop()
const [port, protocol, cert, key] = options
const SECRET = 'bench-secret'
const INTERVAL = 600000
const DETACHED = 60000
const BACKLOG = unbound ? Infinity : 1 << 20 // bytes that may wait for one client before it is given up as a slow consumer

const services = new Map() // type -> set of sockets
const sessions = new Map() // identity -> its socket, or until when it can be resumed

class Violation extends Error {
  constructor(code, reason) {
    super(reason)
    this.code = code
  }
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

function need(data, fields) {
  if (!isObject(data)) throw new Violation(4005, 'd must be an object')
  for (const name in fields) {
    const value = data[name]
    const kind = value === null ? 'null' : typeof value
    if (!fields[name].includes(kind)) throw new Violation(4005, `${name} is missing or of the wrong type`)
  }
  return data
}

function enter(socket, kind, secret) {
  if (socket.kind) throw new Violation(4002, 'already identified')
  if (secret !== SECRET) throw new Violation(4001, 'wrong secret')
  socket.kind = kind
  if (!services.has(kind)) services.set(kind, new Set())
  services.get(kind).add(socket)
}

const FRAME = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: true }
const waiting = new Map() // type -> the frames of this tick

function broadcast(kind, payload) {
  const data = Buffer.from(JSON.stringify(payload))
  if (prepared) {
    if (waiting.size === 0) process.nextTick(flush)
    if (!waiting.has(kind)) waiting.set(kind, [])
    waiting.get(kind).push(...Sender.frame(data, FRAME))
    return
  }
  // Encoded once, and the same buffer for everybody: the cheapest broadcast that the library documents.
  for (const socket of services.get(kind) ?? []) {
    if (socket.bufferedAmount > BACKLOG) socket.terminate()
    else socket.send(data, { binary: false })
  }
}

function flush() {
  for (const [kind, frames] of waiting) {
    const data = Buffer.concat(frames)
    for (const socket of services.get(kind) ?? []) {
      if (socket.bufferedAmount > BACKLOG) socket.terminate()
      else socket._socket.write(data)
    }
  }
  waiting.clear()
}

const STRING = ['string']
const IDENTIFY = { type: STRING, compress: ['boolean'], secret: STRING }
const COMMAND = { command: STRING, raw: STRING, ids: ['object'] }
const IDS = { message: STRING, author: STRING, channel: STRING, guild: STRING, shard: ['string', 'number'] }
const BEAT = { heapUsed: ['number'] }

const oxyl = {
  hello: { op: 3, d: { heartbeatInterval: INTERVAL } },
  0(socket, payload) {
    const data = need(payload.d, IDENTIFY)
    enter(socket, data.type, data.secret)
    socket.send(JSON.stringify({ op: 2, t: 'IDENTIFIED', d: {} }))
  },
  1(socket, payload) {
    const data = payload.d ?? {}
    if ('heapUsed' in data) need(data, BEAT)
    socket.deadline = Date.now() + 2 * INTERVAL
    socket.send(JSON.stringify({ op: 4, d: {} }))
  },
  2(socket, payload) {
    if (socket.kind !== 'sharder' || payload.t !== 'EXECUTE_COMMAND') throw new Violation(4006, 'not allowed')
    const data = need(payload.d, COMMAND)
    need(data.ids, IDS)
    broadcast('commands', { op: 2, t: 'EXECUTE_COMMAND', d: data })
  },
}

const utilbot = {
  hello: { op: 5, d: { heartbeat: INTERVAL } },
  1(socket, payload) {
    if (payload.t !== 'identify') throw new Violation(4005, 'no such event')
    const data = need(payload.d, { type: STRING, key: STRING, id: STRING })
    const known = sessions.get(data.id)
    if (known !== undefined && typeof known !== 'number') throw new Violation(4002, 'bot ID used')
    enter(socket, data.type, data.key)
    socket.identity = data.id
    sessions.set(data.id, socket)
    const ready = { id: data.id, resumed: known !== undefined }
    socket.send(JSON.stringify({ op: 0, d: ready, t: 'bot_connect_success' }))
  },
  10(socket) {
    socket.deadline = Date.now() + INTERVAL + 5000
    socket.send(JSON.stringify({ op: 11 }))
  },
}

const handlers = protocol === 'oxyl' ? oxyl : utilbot

function received(socket, text) {
  let payload
  try {
    payload = JSON.parse(text)
  } catch {
    throw new Violation(4004, 'not JSON')
  }
  if (!isObject(payload)) throw new Violation(4005, 'a payload must be an object')
  const handler = typeof payload.op === 'number' ? handlers[payload.op] : undefined
  if (handler === undefined) throw new Violation(4003, 'unknown opcode')
  handler(socket, payload)
}

const web = cert ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }) : http.createServer()
const server = new WebSocketServer({ server: web, perMessageDeflate: false, maxPayload: 65536 })

server.on('connection', (socket) => {
  socket.deadline = Date.now() + 2 * INTERVAL
  socket.kind = socket.identity = ''
  socket.on('message', (data) => {
    try {
      received(socket, data.toString())
    } catch (error) {
      socket.close(error.code ?? 1011, error.message)
    }
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    services.get(socket.kind)?.delete(socket)
    if (sessions.get(socket.identity) === socket) sessions.set(socket.identity, Date.now() + DETACHED)
  })
  socket.send(JSON.stringify(handlers.hello))
})

setInterval(() => {
  const now = Date.now()
  for (const socket of server.clients) if (socket.deadline < now) socket.close(4007, 'heartbeat missed')
  for (const [id, until] of sessions) if (typeof until === 'number' && until < now) sessions.delete(id)
}, 1000)

web.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 }, () => console.log('ready'))
