// Peer: a bare Node.js HTTP server that does nothing with what it is told: the least that a publish can cost in Node.
// `node node_http.js SOCKET`
'use strict'

const http = require('node:http')

http
  .createServer((request, response) => {
    let text = ''
    request.on('data', (part) => (text += part))
    request.on('end', () => {
      const { channel } = JSON.parse(text)
      response.setHeader('Content-Type', 'application/json')
      response.end(JSON.stringify({ channel, delivered: 0 }))
    })
  })
  .listen(process.argv[2], () => console.log('ready'))
