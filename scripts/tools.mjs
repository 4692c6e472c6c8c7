// What has to be installed before the addon can be built, and how to install what is missing.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { capture, root, StepFailure } from './steps.mjs';

const CMAKE_AT_LEAST = [3, 20];

/** The compiler's own first line about itself, or null where there is none. */
export function compilerVersion(env = process.env) {
  for (const compiler of env.CXX ? [env.CXX] : ['c++', 'g++', 'clang++']) {
    const version = capture(compiler, ['--version']);
    if (version) return version.split('\n')[0];
  }
  return null;
}

/** Throws StepFailure, naming all that is missing at once. `gyp`: node-gyp's own needs (Python, make) too. */
export function checkTools({ gyp = false } = {}) {
  const missing = [];
  const need = (name, packages, there) => there || missing.push({ name, packages });
  const runs = (command) => capture(command, ['--version']) !== null;
  need('a C++ compiler', 'g++', compilerVersion() !== null);
  need(`CMake ${CMAKE_AT_LEAST.join('.')} or newer`, 'cmake', cmakeIsNewEnough());
  if (gyp) {
    need('make', 'make', runs('make'));
    need('Python 3', 'python3', runs(process.env.npm_config_python ?? 'python3') || runs('python'));
  } else {
    need('Ninja or make', 'ninja-build', runs('ninja') || runs('make'));
  }
  need('git', 'git', runs('git'));
  if (missing.length > 0) {
    const packages = missing.map((tool) => tool.packages).join(' ');
    throw new StepFailure(
      `The native addon has to be built here, and this is missing: ${missing.map((tool) => tool.name).join(', ')}.`,
      existsSync('/usr/bin/apt-get')
        ? `${process.getuid?.() === 0 ? '' : 'sudo '}apt-get install ${packages}`
        : `install ${packages} with your system's package manager, and run the command again`,
    );
  }
  if (!existsSync(join(root, 'node_modules/cmake-js'))) {
    throw new StepFailure(
      'The packages that build the native addon are not installed.',
      `cd ${root} && npm install && npm run build`,
    );
  }
}

function cmakeIsNewEnough() {
  const version = capture('cmake', ['--version'])?.match(/version (\d+)\.(\d+)/);
  if (!version) return false;
  const [major, minor] = [Number(version[1]), Number(version[2])];
  return major > CMAKE_AT_LEAST[0] || (major === CMAKE_AT_LEAST[0] && minor >= CMAKE_AT_LEAST[1]);
}
