// Entry points: one app.scss and one app.js for each subsite below resources/.
const mix = require('laravel-mix')

mix.setPublicPath('data/system/user/templates')
mix.options({ processCssUrls: false })
