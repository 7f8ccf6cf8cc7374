// The asset build with node: node tools/build.js docs|prod
// Makes the same files as tools/build.sh, byte for byte.
'use strict'

const fs = require('fs')
const path = require('path')
const isNumber = require('is-number')

process.chdir(path.join(__dirname, '..'))

const TEMPLATES = 'data/system/user/templates'
const DOCS = 'data/html/docs'
const COMPONENTS = 'resources/sass/componentes'

const read = (file) => fs.readFileSync(file, 'utf8')
const linesOf = (file) => read(file).split('\n')
const pauseText = fs.existsSync('tools/pause') ? read('tools/pause').trim() : '0'
const pause = isNumber(pauseText) ? Number(pauseText) : 0

function say (line) {
  process.stdout.write(line + '\n')
  if (pause > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause * 1000)
}

function write (file, lines) {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, lines.map((line) => line + '\n').join(''))
}

function compileSass (files) {
  const values = new Map()
  const output = []
  for (const file of files) {
    linesOf(file).forEach((text, index) => {
      if (/^[ \t]*\/\//.test(text)) return
      const definition = /^(\$[a-z-]+):[ \t]*(.*?)(?:;[ \t]*)?$/.exec(text)
      if (definition) {
        values.set(definition[1], definition[2])
        return
      }
      const line = text.replace(/^[ \t]+/, '')
      if (line === '') return
      output.push(line.replace(/\$[a-z-]+/g, (name) => {
        if (!values.has(name)) throw new Error(`SassError: Undefined variable ${name} in ${file}:${index + 1}`)
        return values.get(name)
      }))
    })
  }
  return output
}

function compileJs (files) {
  return files.flatMap(linesOf)
    .filter((line) => !/^[ \t]*\/\//.test(line))
    .map((line) => line.replace(/^[ \t]+/, ''))
    .filter((line) => line !== '')
}

function pageHead (title) {
  return ['<!doctype html>', '<html lang="pt-BR">', '<meta charset="utf-8">', `<title>${title}</title>`]
}

function buildDocs () {
  say(`> sassdoc: reading ${COMPONENTS}`)
  fs.rmSync(DOCS, { recursive: true, force: true })
  const names = fs.readdirSync(COMPONENTS).sort().map((file) => file.replace(/^_|\.scss$/g, ''))
  const items = names.map((name) => `<li><a href="${name}.html">${name}</a></li>`)
  write(`${DOCS}/index.html`, [...pageHead('Componentes'), '<ul>', ...items, '</ul>', '</html>'])
  for (const name of names) {
    const paragraphs = linesOf(`${COMPONENTS}/_${name}.scss`)
      .filter((line) => line.startsWith('/// '))
      .map((line) => line.slice(4).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;'))
      .map((text) => `<p>${text}</p>`)
    write(`${DOCS}/${name}.html`, [...pageHead(name), `<h1>${name}</h1>`, ...paragraphs, '</html>'])
    say(`> sassdoc: documented ${name}`)
  }
  say(`> sassdoc: theme written to ${DOCS}`)
}

function buildProd () {
  const sites = fs.readdirSync('resources/sass').sort()
    .filter((name) => fs.existsSync(`resources/sass/${name}/app.scss`))
  const components = fs.readdirSync(COMPONENTS).sort().map((file) => `${COMPONENTS}/${file}`)
  const shared = fs.readdirSync('resources/js/comum').sort().map((file) => `resources/js/comum/${file}`)
  say(`> webpack: mode production, ${sites.length} subsites`)
  let shown = -1
  sites.forEach((site, index) => {
    write(`${TEMPLATES}/${site}/css.group/site.css`,
      compileSass(['resources/sass/_variaveis.scss', ...components, `resources/sass/${site}/app.scss`]))
    write(`${TEMPLATES}/${site}/js.group/site.js`, compileJs([...shared, `resources/js/${site}/app.js`]))
    const tenth = Math.floor((index + 1) * 10 / sites.length)
    if (tenth === shown) return
    shown = tenth
    const percent = Math.floor((index + 1) * 100 / sites.length)
    say(`<s> [webpack.Progress] ${percent}% building ${index + 1}/${sites.length} ${site}/app.scss`)
  })
  for (const site of sites.slice(0, 10)) {
    for (const file of [`${site}/css.group/site.css`, `${site}/js.group/site.js`]) {
      say(`asset ${file} ${fs.statSync(`${TEMPLATES}/${file}`).size} bytes [emitted]`)
    }
  }
  if (sites.length > 10) say(`+ ${(sites.length - 10) * 2} hidden assets`)
  say('webpack compiled successfully')
}

const tasks = { docs: buildDocs, prod: buildProd }
const task = tasks[process.argv[2]]
if (!task) {
  process.stderr.write('usage: node tools/build.js docs|prod\n')
  process.exit(2)
}
try {
  task()
} catch (error) {
  process.stderr.write(error.message + '\n')
  process.exit(1)
}
