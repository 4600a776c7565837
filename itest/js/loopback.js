'use strict'

// The npm package listens on every interface and has no option for it. Tests stay on loopback.

const net = require('node:net')

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, host, ...rest) {
  return listen.call(this, port, host === '0.0.0.0' ? '127.0.0.1' : host, ...rest)
}
