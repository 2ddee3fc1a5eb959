// What a user of E2B's JavaScript clients does in a day. Prints one JSON object: what came of each part.
//   node scenario.mjs NODE_MODULES PART...
// It runs with whatever version is in that folder, so it uses only what all have.

import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { sep } from 'node:path'

const [modules, ...parts] = process.argv.slice(2)
const require = createRequire(modules + sep)
const { Sandbox } = require('e2b')
const { Sandbox: CodeSandbox } = require('@e2b/code-interpreter')

const encoder = new TextEncoder()
const decoder = new TextDecoder()

async function named(call) {
  try {
    await call()
  } catch (error) {
    return error.constructor.name
  }
  return 'nothing'
}

async function sandboxes() {
  const mark = randomUUID()
  const metadata = { mark, ü: 'ä b' }
  const one = await Sandbox.create({ timeoutMs: 120_000, metadata, envs: { GIVEN: '1' } })
  const two = await Sandbox.create({ metadata: { mark } })
  try {
    const info = await one.getInfo()
    const pages = Sandbox.list({ query: { metadata: { mark } }, limit: 1 })
    const listed = []
    while (pages.hasNext) listed.push((await pages.nextItems()).map((each) => each.sandboxId))
    const again = await Sandbox.connect(one.sandboxId)
    await one.setTimeout(600_000)
    const lasts = async () => ((await one.getInfo()).endAt - info.startedAt) / 1000
    return {
      pages: listed.map((page) => page.length),
      both: listed.flat().sort().join() === [one.sandboxId, two.sandboxId].sort().join(),
      metadata: info.metadata.mark === mark && info.metadata['ü'] === 'ä b',
      state: info.state,
      lasts: Math.round((info.endAt - info.startedAt) / 1000),
      longer: (await lasts()) >= 600,
      given: (await again.commands.run('echo $GIVEN')).stdout,
      running: await one.isRunning(),
      metrics: Array.isArray(await one.getMetrics()),
      killed: [await Sandbox.kill(two.sandboxId), await Sandbox.kill(two.sandboxId)],
      runsOn: await two.isRunning(),
    }
  } finally {
    await Promise.all([one.kill(), two.kill()])
  }
}

async function commands(sandbox) {
  let said = ''
  const done = await sandbox.commands.run('echo out; echo err >&2; echo $A; pwd', {
    envs: { A: 'ä' },
    cwd: '/tmp',
    onStdout: (text) => {
      said += text
    },
  })
  const asRoot = (await sandbox.commands.run('id -un', { user: 'root' })).stdout
  const failed = await sandbox.commands
    .run('echo no >&2; exit 3')
    .catch((error) => [error.constructor.name, error.exitCode, error.stderr])
  const timedOut = await named(() => sandbox.commands.run('sleep 60', { timeoutMs: 1000 }))
  const handle = await sandbox.commands.run('read line; echo got $line', { background: true, stdin: true })
  const there = (await sandbox.commands.list()).filter((each) => each.pid === handle.pid)
  await sandbox.commands.sendStdin(handle.pid, 'ping\n')
  const answered = (await handle.wait()).stdout
  const sleeper = await sandbox.commands.run('echo begun; sleep 600', { background: true })
  await sleeper.disconnect()
  const followed = await sandbox.commands.connect(sleeper.pid)
  const killed = [await sandbox.commands.kill(sleeper.pid)]
  const endedBy = await named(() => followed.wait())
  killed.push(await sandbox.commands.kill(sleeper.pid))
  return {
    done: [done.exitCode, done.stdout, done.stderr, said],
    asRoot,
    failed,
    timedOut,
    listed: there.length,
    answered,
    killed,
    endedBy,
  }
}

async function terminal(sandbox) {
  let said = ''
  const onData = (data) => {
    said += decoder.decode(data)
  }
  const handle = await sandbox.pty.create({ rows: 24, cols: 80, onData, timeoutMs: 60_000 })
  await sandbox.pty.resize(handle.pid, { rows: 30, cols: 100 })
  await sandbox.pty.sendInput(handle.pid, encoder.encode('stty size; exit\n'))
  const result = await handle.wait()
  return { exitCode: result.exitCode, size: said.includes('30 100') }
}

async function files(sandbox) {
  const text = 'grüße\n'
  const binary = Uint8Array.from({ length: 256 }, (_, index) => index)
  const same = (bytes) => Buffer.from(bytes).equals(Buffer.from(binary))
  const written = await sandbox.files.write('notes/text.txt', text)
  await sandbox.files.write('/tmp/binary', binary.buffer)
  const several = await sandbox.files.write([
    { path: '/tmp/several/a', data: 'a' },
    { path: '/tmp/several/b', data: new Blob([binary]) },
  ])
  const made = [await sandbox.files.makeDir('notes/deep/deeper'), await sandbox.files.makeDir('notes')]
  const seen = new Set()
  const renaming = Promise.withResolvers()
  const watch = await sandbox.files.watchDir('notes', (event) => {
    seen.add(event.name)
    if (event.name === 'new.txt') renaming.resolve()
  })
  const renamed = await sandbox.files.rename('notes/text.txt', 'notes/new.txt')
  await renaming.promise
  await watch.stop()
  const listed = (await sandbox.files.list('notes', { depth: 2 })).map((entry) => entry.name).sort()
  const info = await sandbox.files.getInfo('notes/new.txt')
  const chunks = []
  for await (const chunk of await sandbox.files.read('/tmp/binary', { format: 'stream' })) chunks.push(chunk)
  const blob = await sandbox.files.read('/tmp/several/b', { format: 'blob' })
  const there = await sandbox.files.exists('notes/new.txt')
  await sandbox.files.remove('notes')
  return {
    written: written.path,
    several: several.map((each) => each.path),
    text: await sandbox.files.read('/tmp/several/a'),
    bytes: same(await sandbox.files.read('/tmp/binary', { format: 'bytes' })),
    blob: same(await blob.arrayBuffer()),
    streamed: same(Buffer.concat(chunks)),
    made,
    renamed: renamed.path,
    seen: ['text.txt', 'new.txt'].filter((name) => seen.has(name)),
    listed,
    size: info.size === encoder.encode(text).length,
    there: [there, await sandbox.files.exists('notes/new.txt')],
    gone: (await named(() => sandbox.files.read('notes/new.txt'))) !== 'nothing',
  }
}

async function code(sandbox) {
  const said = []
  await sandbox.runCode('x = 20')
  const shown = await sandbox.runCode("print('hello'); 2 * x + 2", { onStdout: (message) => said.push(message.line) })
  const wrong = await sandbox.runCode('1 / 0')
  const context = await sandbox.createCodeContext({ cwd: '/tmp' })
  const elsewhere = await sandbox.runCode("import os; os.getcwd(), 'x' in globals()", { context })
  const chart = await sandbox.runCode("import matplotlib.pyplot as plt; plt.bar(['a'], [1]); plt.show()")
  const timedOut = await named(() => sandbox.runCode('while True: pass', { timeoutMs: 1000 }))
  return {
    text: shown.text,
    said,
    error: wrong.error?.name,
    elsewhere: elsewhere.text,
    chart: chart.results[0].chart?.type,
    timedOut,
    kept: (await sandbox.runCode('x')).text,
    given: (await sandbox.runCode("import os; os.environ['A']", { envs: { A: '1' } })).text,
  }
}

async function pausing(sandbox) {
  const asks = await sandbox.commands.run('read line; echo got $line', { background: true, stdin: true })
  const ended = asks.wait().catch((error) => error.constructor.name)
  const paused = [await sandbox.pause(), await sandbox.pause()]
  const { state } = await sandbox.getInfo()
  const there = await sandbox.isRunning()
  const refused = await named(() => sandbox.commands.run('true'))
  const again = await Sandbox.connect(sandbox.sandboxId)
  const followed = await again.commands.connect(asks.pid)
  await again.commands.sendStdin(asks.pid, 'it\n')
  return {
    paused,
    cutOff: (await ended) !== undefined,
    state,
    running: [there, await again.isRunning()],
    refused,
    goesOn: (await followed.wait()).stdout,
  }
}

async function snapshots(sandbox) {
  await sandbox.files.write('/tmp/file', 'kept')
  const { snapshotId } = await sandbox.createSnapshot()
  const made = await Sandbox.create(snapshotId)
  const read = await made.files.read('/tmp/file')
  await made.kill()
  const listed = (await sandbox.listSnapshots().nextItems()).map((each) => each.snapshotId)
  const forks = sandbox.fork ? await sandbox.fork({ count: 2 }) : null
  await Promise.all((forks ?? []).map((fork) => fork.kill()))
  return {
    read,
    listed: listed.join() === snapshotId,
    deleted: [await Sandbox.deleteSnapshot(snapshotId), await Sandbox.deleteSnapshot(snapshotId)],
    forks: forks && new Set(forks.map((fork) => fork.sandboxId)).size,
  }
}

async function errors(sandbox) {
  const gone = await Sandbox.create()
  await gone.kill()
  const apiKey = 'e2b_' + '0'.repeat(40)
  return {
    wrongKey: await named(() => Sandbox.create({ apiKey })),
    noTemplate: await named(() => Sandbox.create('no-such-template')),
    noSandbox: await named(() => Sandbox.connect('sb' + 'a'.repeat(20))),
    ended: await named(() => gone.commands.run('true')),
    noProcess: await named(() => sandbox.commands.connect(99999)),
    noFolder: await named(() => sandbox.files.list('/nowhere')),
  }
}

const all = { sandboxes, commands, terminal, files, code, pausing, snapshots, errors }
const outcome = {}
const sandbox = await Sandbox.create()
const made = [sandbox]
try {
  for (const part of parts) {
    try {
      if (part === 'code') made.push(await CodeSandbox.create())
      outcome[part] = await all[part](part === 'code' ? made.at(-1) : sandbox)
    } catch (error) {
      outcome[part] = String(error.stack)
    }
  }
} finally {
  await Promise.all(made.map((each) => each.kill()))
}
// Timers that some versions leave behind would keep it for a minute.
process.stdout.write(JSON.stringify(outcome), () => process.exit(0))
