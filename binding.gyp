# A shell around CMake, so that node-gyp and prebuildify build the addon without knowing how it is built.
{
  'targets': [{
    'target_name': 'adaptive_spec',
    'type': 'none',
    'actions': [{
      'action_name': 'cmake',
      'inputs': ['CMakeLists.txt'],
      'outputs': ['<(PRODUCT_DIR)/adaptive_spec.node'],
      'action': ['node', '<!(node -p "require.resolve(\'cmake-js/bin/cmake-js\')")', 'build', '--out', 'build/cmake'],
    }],
  }],
}
