// How the tests run: the four folders of test/ one after the other.
import { defineConfig } from 'vitest/config';

/** Tests that load models want the cores for themselves, so only those without run side by side. */
function folder(name: string, order: number, parallel: boolean) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      fileParallelism: parallel,
      sequence: { groupOrder: order },
    },
  };
}

export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    projects: [
      folder('unit', 0, true),
      folder('native', 1, false),
      folder('integration', 2, false),
      folder('lifecycle', 3, false),
    ],
  },
});
