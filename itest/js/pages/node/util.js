// Node's util, as much as the npm package and readable-stream use.
exports.inherits = require('inherits')
exports.debuglog = () => () => {}
exports.inspect = { custom: 'inspect' }
