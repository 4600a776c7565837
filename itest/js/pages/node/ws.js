// A page's WebSocket is a global.
