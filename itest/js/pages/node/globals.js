// What Node has as globals.
export { Buffer } from 'buffer/'
export { default as process } from 'process/browser'
