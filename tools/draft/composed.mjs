// Prompts composed from lists: work on a given text, code or data, which a small model would not write well itself.

import * as w from './words.mjs';

const pick = (random, items) => items[Math.floor(random() * items.length)];
const whole = (random, low, high) => low + Math.floor(random() * (high - low + 1));
const several = (random, items, count) => {
  const left = [...items];
  return Array.from(
    { length: Math.min(count, left.length) },
    () => left.splice(Math.floor(random() * left.length), 1)[0],
  );
};
const many = (count, make) => Array.from({ length: count }, (_, i) => make(_, i));
const person = (r) => `${pick(r, w.NAMES)} ${pick(r, w.SURNAMES)}`;
const date = (r) =>
  `${whole(r, 1, 28)} ${pick(r, ['January', 'February', 'March', 'April', 'June', 'July', 'August', 'October', 'November', 'December'])} ${whole(r, 1850, 2024)}`;

const SENTENCES = [
  (r) => `${person(r)} works as a ${pick(r, w.JOBS)} in ${pick(r, w.CITIES)}.`,
  (r) => `The ${pick(r, w.THINGS)} was found in the ${pick(r, w.PLACES)} on ${date(r)}.`,
  (r) => `Last year ${pick(r, w.NAMES)} moved from ${pick(r, w.CITIES)} to ${pick(r, w.CITIES)}.`,
  (r) =>
    `The ${pick(r, w.ANIMALS)} slept near the ${pick(r, w.PLACES)} while the ${pick(r, w.ANIMALS)} kept watch.`,
  (r) => `A ${pick(r, w.THINGS)} costs ${whole(r, 3, 400)} dollars in ${pick(r, w.CITIES)}.`,
  (r) => `Nobody in the ${pick(r, w.PLACES)} had expected so much ${pick(r, w.FEELINGS)}.`,
  (r) => `The council of ${pick(r, w.CITIES)} voted on a plan about ${pick(r, w.SUBJECTS)}.`,
  (r) =>
    `${pick(r, w.NAMES)} bought ${whole(r, 2, 20)} ${pick(r, w.FOODS)} cakes for the ${pick(r, w.JOBS)}s.`,
  (r) => `In the evening, ${pick(r, w.NAMES)} read a book about ${pick(r, w.SUBJECTS)} to the children.`,
  (r) => `The new ${pick(r, w.PLACES)} opened on ${date(r)} with a speech by ${person(r)}.`,
  (r) => `It rained for ${whole(r, 2, 9)} days, and the road to ${pick(r, w.CITIES)} was closed.`,
  (r) => `The report says that ${whole(r, 5, 95)} percent of visitors liked the ${pick(r, w.PLACES)}.`,
  (r) => `Many people are interested in ${pick(r, w.SUBJECTS)}, but few have studied it.`,
  (r) => `She put the ${pick(r, w.THINGS)} on the table and opened the window.`,
  (r) =>
    `The meeting about ${pick(r, w.SUBJECTS)} starts at ${whole(r, 8, 17)}:${pick(r, ['00', '15', '30', '45'])}.`,
];
const text = (r, low, high) => many(whole(r, low, high), () => pick(r, SENTENCES)(r)).join(' ');
/** Letters left out, doubled or swapped in some words. */
const misspelled = (r, words) =>
  words.replace(/[a-z]{5,}/g, (word) => {
    if (r() < 0.65) return word;
    const at = whole(r, 1, word.length - 2);
    const kind = whole(r, 0, 2);
    if (kind === 0) return word.slice(0, at) + word.slice(at + 1);
    if (kind === 1) return word.slice(0, at) + word[at] + word.slice(at);
    return word.slice(0, at) + word[at + 1] + word[at] + word.slice(at + 2);
  });
const NOUNS = [
  'count',
  'amount',
  'level',
  'rate',
  'value',
  'limit',
  'offset',
  'delta',
  'weight',
  'ratio',
  'length',
  'index',
  'score',
  'price',
  'speed',
  'balance',
];
const VERBS = [
  'get',
  'compute',
  'update',
  'check',
  'find',
  'apply',
  'make',
  'scale',
  'merge',
  'filter',
  'sum',
  'clean',
];
const python = (r) => {
  const [a, b, c] = several(r, NOUNS, 3);
  const name = `${pick(r, VERBS)}_${c}`;
  return pick(r, [
    `def ${name}(${a}, ${b}):\n    return ${a} ${pick(r, ['+', '-', '*', '/'])} ${b}\n`,
    `def ${name}(items):\n    ${a} = 0\n    for item in items:\n        if item > ${whole(r, 1, 50)}:\n            ${a} += item\n    return ${a}\n`,
    `def ${name}(items):\n    ${b} = []\n    for item in items:\n        ${b}.append(item * ${whole(r, 2, 9)})\n    return ${b}\n`,
    `def ${name}(text):\n    words = text.split()\n    ${a} = {}\n    for word in words:\n        ${a}[word] = ${a}.get(word, 0) + 1\n    return ${a}\n`,
    `def ${name}(${a}):\n    if ${a} < 0:\n        raise ValueError("${a} is negative")\n    while ${a} > ${whole(r, 5, 99)}:\n        ${a} = ${a} // 2\n    return ${a}\n`,
    `class ${pick(r, w.THINGS)
      .replace(/\W/g, '')
      .replace(/^./, (x) =>
        x.toUpperCase(),
      )}:\n    def __init__(self, ${a}, ${b}):\n        self.${a} = ${a}\n        self.${b} = ${b}\n\n    def ${name}(self):\n        return self.${a} * self.${b}\n`,
  ]);
};
const javascript = (r) => {
  const [a, b, c] = several(r, NOUNS, 3);
  const name = `${pick(r, VERBS)}${c[0].toUpperCase()}${c.slice(1)}`;
  return pick(r, [
    `function ${name}(${a}, ${b}) {\n  if (${a} === undefined) {\n    return ${b};\n  }\n  return ${a} + ${b};\n}\n`,
    `function ${name}(items) {\n  let ${a} = 0;\n  for (const item of items) {\n    ${a} += item.${b};\n  }\n  return ${a};\n}\n`,
    `const ${name} = (items) => {\n  const ${a} = [];\n  for (let i = 0; i < items.length; i++) {\n    if (items[i].${b} > ${whole(r, 1, 90)}) {\n      ${a}.push(items[i]);\n    }\n  }\n  return ${a};\n};\n`,
    `class ${c[0].toUpperCase()}${c.slice(1)} {\n  constructor(${a}) {\n    this.${a} = ${a};\n  }\n\n  ${pick(r, VERBS)}(${b}) {\n    this.${a} -= ${b};\n    return this.${a};\n  }\n}\n`,
  ]);
};
const value = (r, field) => {
  if (field === 'name') return `"${person(r)}"`;
  if (field === 'city') return `"${pick(r, w.CITIES)}"`;
  if (field === 'job') return `"${pick(r, w.JOBS)}"`;
  if (field === 'product') return `"${pick(r, w.THINGS)}"`;
  if (field === 'food') return `"${pick(r, w.FOODS)}"`;
  if (field === 'available') return r() < 0.5 ? 'true' : 'false';
  return String(whole(r, 1, field === 'year' ? 2024 : 200));
};
const records = (r, low, high) => {
  const fields = several(
    r,
    ['name', 'city', 'job', 'product', 'food', 'available', 'age', 'stock', 'cost', 'year', 'points'],
    whole(r, 2, 4),
  );
  return many(
    whole(r, low, high),
    () => `{${fields.map((field) => `"${field}":${value(r, field)}`).join(',')}}`,
  );
};
const array = (r) => `[${records(r, 2, 5).join(',')}]`;
const table = (r) => {
  const rows = many(whole(r, 3, 6), () => [pick(r, w.NAMES), pick(r, w.CITIES), whole(r, 1, 99)].join(','));
  return `name,city,${pick(r, ['points', 'age', 'orders'])}\n${rows.join('\n')}`;
};
const fields = (r) => {
  const names = several(r, w.FIELDS, whole(r, 3, 6));
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
};
const entity = (r) => pick(r, w.ENTITIES);
const an = (word) => `${/^[aeiou]/i.test(word) ? 'an' : 'a'} ${word}`;
const subject = (r) => pick(r, w.SUBJECTS);
const task = (r) => pick(r, w.TASKS);
const language = (r) => pick(r, w.LANGUAGES);
const fence = (name, code) => `\n\`\`\`${name}\n${code.trimEnd()}\n\`\`\``;
const py = (r, low = 1, high = 2) => fence('python', many(whole(r, low, high), () => python(r)).join('\n'));
const js = (r, low = 1, high = 2) =>
  fence(pick(r, ['js', 'javascript']), many(whole(r, low, high), () => javascript(r)).join('\n'));
const polite = (r) => pick(r, ['', '', '', 'Please ', 'Can you ', 'I need you to ']);

/** family -> its kind and how a prompt of it is made */
export const COMPOSED = {};
const add = (kind, templates) => {
  for (const make of templates) COMPOSED[`${kind}:${Object.keys(COMPOSED).length}`] = { kind, make };
};

add('code', [
  (r) => `Write a ${language(r)} function to ${task(r)}.`,
  (r) =>
    `Write a ${language(r)} function \`${pick(r, VERBS)}_${pick(r, NOUNS)}\` that can ${task(r)}, with comments.`,
  (r) => `Write a ${language(r)} program to ${task(r)}.`,
  (r) => `Write a ${language(r)} class to ${task(r)}.`,
  (r) =>
    `Write a Python class \`${pick(r, w.THINGS)
      .replace(/\W/g, '')
      .replace(/^./, (x) => x.toUpperCase())}Manager\` with methods to ${task(r)} and to ${task(r)}.`,
  (r) => `Implement a ${language(r)} module to ${task(r)} and show an example of its use.`,
  (r) => `How can I ${task(r)} in ${language(r)}?`,
  (r) => `Show me ${language(r)} code to ${task(r)}. Explain it briefly.`,
  (r) => `Write a Python script to ${task(r)} and then ${task(r)}.`,
  (r) => `${task(r).replace(/^./, (x) => x.toUpperCase())} in ${language(r)}, and give the time complexity.`,
  (r) => `Write a ${language(r)} function to ${task(r)} and unit tests for it.`,
  (r) => `Write a Bash script to ${task(r)}.`,
  (r) =>
    `Create a SQL table for ${an(entity(r))} with the columns ${fields(r)}, and a query that sorts by ${pick(r, w.FIELDS)}.`,
  (r) =>
    `Write a SQL query that counts each ${entity(r)} by ${pick(r, w.FIELDS)} for the last ${whole(r, 2, 12)} months.`,
  (r) => `Write a TypeScript interface for ${an(entity(r))} with ${fields(r)}.`,
  (r) => `Write a Python dataclass for ${an(entity(r))} with ${fields(r)}.`,
  (r) => `Write an Express route that returns ${an(entity(r))} by its id.`,
  (r) => `Write a Flask endpoint that creates ${an(entity(r))} with ${fields(r)}.`,
  (r) => `Write a React component that shows ${an(entity(r))} with ${fields(r)}.`,
  (r) => `Write an HTML form for ${an(entity(r))} with ${fields(r)}.`,
  (r) => `Write a Dockerfile for a ${language(r)} service that stores ${an(entity(r))}.`,
  (r) => `Write a Rust struct for ${an(entity(r))} and a function to ${task(r)}.`,
  (r) => `Write a Go struct for ${an(entity(r))} and a method to ${task(r)}.`,
  (r) => `Write a C function to ${task(r)} and a main function that calls it.`,
  (r) => `Write a Java class for ${an(entity(r))} with getters and setters for ${fields(r)}.`,
  (r) => `What does this code do?${py(r)}`,
  (r) => `What does this function return for ${whole(r, 1, 99)}?${py(r, 1, 1)}`,
  (r) => `Find the bug in this code:${js(r)}`,
  (r) => `Write pytest tests for this:${py(r)}`,
  (r) => `Write Jest tests for this:${js(r)}`,
]);
add('prose', [
  (r) =>
    `Write a short story about ${an(pick(r, w.JOBS))} and ${an(pick(r, w.ANIMALS))} in ${an(pick(r, w.PLACES))}.`,
  (r) => `Write a story about ${an(pick(r, w.THINGS))} that brings ${pick(r, w.FEELINGS)}.`,
  (r) =>
    `Tell a story of ${an(pick(r, w.ANIMALS))} who learns ${pick(r, w.FEELINGS)} from ${an(pick(r, w.JOBS))}.`,
  (r) => `Write the first paragraph of a novel set in ${an(pick(r, w.PLACES))}.`,
  (r) =>
    `Write a scene in ${an(pick(r, w.PLACES))} in which ${pick(r, w.NAMES)} loses ${an(pick(r, w.THINGS))}.`,
  (r) =>
    `Describe ${an(pick(r, w.PLACES))} in ${pick(r, ['spring', 'summer', 'autumn', 'winter', 'the early morning', 'a storm', 'the fog', 'the moonlight'])}.`,
  (r) => `Describe ${an(pick(r, w.THINGS))} that once belonged to ${an(pick(r, w.JOBS))}.`,
  (r) => `Explain ${subject(r)}.`,
  (r) => `Explain ${subject(r)} to ${an(pick(r, w.JOBS))}.`,
  (r) => `Explain how ${subject(r)} changed the world.`,
  (r) => `What is the difference between ${subject(r)} and ${subject(r)}?`,
  (r) => `How is ${subject(r)} related to ${subject(r)}?`,
  (r) => `Why should students learn about ${subject(r)}?`,
  (r) => `Write an essay on ${subject(r)} and its effects on ${subject(r)}.`,
  (r) => `Write a persuasive letter in favour of ${subject(r)}.`,
  (r) => `Write an argument against ${subject(r)}.`,
  (r) => `Write a speech by ${an(pick(r, w.JOBS))} about ${subject(r)}.`,
  (r) => `Write a toast for ${an(pick(r, w.JOBS))} who turns ${whole(r, 20, 90)}.`,
  (r) => `Write a thank-you note to ${an(pick(r, w.JOBS))} in ${pick(r, w.CITIES)}.`,
  (r) => `Write a review of ${an(pick(r, w.PLACES))} in ${pick(r, w.CITIES)}.`,
  (r) => `Write a review of a new ${pick(r, w.THINGS)}, both good and bad.`,
  (r) => `Write a poem about ${an(pick(r, w.ANIMALS))} and ${pick(r, w.FEELINGS)}.`,
  (r) => `Write an email from ${person(r)} to ${person(r)} about ${subject(r)}.`,
  (r) =>
    `Write a letter of complaint about ${an(pick(r, w.THINGS))} that broke after ${whole(r, 2, 30)} days.`,
  (r) => `Write a cover letter for a job as ${an(pick(r, w.JOBS))}.`,
  (r) => `Write a dialogue between ${an(pick(r, w.JOBS))} and ${an(pick(r, w.JOBS))} about ${subject(r)}.`,
  (r) => `Write a blog post for beginners about ${subject(r)}.`,
  (r) => `Write a news report: ${pick(r, SENTENCES)(r)}`,
  (r) => `Write an advertisement for ${an(pick(r, w.THINGS))}.`,
  (r) => `Write a diary entry of ${an(pick(r, w.JOBS))} on a day of ${pick(r, w.FEELINGS)}.`,
  (r) => `Write a travel report about ${pick(r, w.COUNTRIES)}.`,
  (r) => `Who invented or discovered ${subject(r)}, and when?`,
  (r) => `What would the world be like without ${subject(r)}?`,
  (r) => `Continue: ${text(r, 1, 3)}`,
  (r) => `Write three paragraphs on the history of ${subject(r)}.`,
  (r) => `Define ${subject(r)} in your own words.`,
  (r) => `What do people in ${pick(r, w.COUNTRIES)} think of ${subject(r)}?`,
  (r) => `How did ${pick(r, w.COUNTRIES)} become what it is today?`,
]);
add('math', [
  (r) =>
    `What is ${whole(r, 2, 999)} ${pick(r, ['+', '-', '*', 'times', 'plus', 'minus', 'divided by'])} ${whole(r, 2, 99)}?`,
  (r) =>
    `Compute ${whole(r, 2, 99)} * (${whole(r, 2, 99)} - ${whole(r, 2, 30)}) / ${whole(r, 2, 9)} step by step.`,
  (r) =>
    `Solve ${whole(r, 2, 9)}x ${pick(r, ['+', '-'])} ${whole(r, 1, 40)} = ${whole(r, 2, 90)} and check the answer.`,
  (r) =>
    `Solve x^2 ${pick(r, ['+', '-'])} ${whole(r, 2, 12)}x ${pick(r, ['+', '-'])} ${whole(r, 1, 40)} = 0 with the quadratic formula.`,
  (r) => `Solve the equations x + y = ${whole(r, 5, 60)} and ${whole(r, 2, 6)}x - y = ${whole(r, 1, 30)}.`,
  (r) =>
    `Find the derivative of ${pick(r, ['sin', 'cos', 'ln', 'exp'])}(${whole(r, 2, 9)}x) + ${whole(r, 2, 9)}x^${whole(r, 2, 6)}.`,
  (r) =>
    `Use the ${pick(r, ['product', 'chain', 'quotient'])} rule to differentiate ${pick(r, ['x^2 sin x', '(3x + 1)^5', 'x/(x + 2)', 'x e^x', 'ln(x^2 + 1)', 'sqrt(x + 4)', 'cos(x^3)', 'x^3 ln x'])}.`,
  (r) =>
    `Find the integral of ${whole(r, 2, 9)}x^${whole(r, 2, 5)} - ${whole(r, 2, 9)}x + ${whole(r, 1, 9)}.`,
  (r) =>
    `Evaluate the integral of ${pick(r, ['sin x', 'cos x', '1/x', 'e^x', 'x^2', 'sqrt(x)'])} from ${whole(r, 1, 2)} to ${whole(r, 3, 9)}.`,
  (r) => {
    const at = whole(r, 2, 9);
    return `Find the limit of (x^2 - ${at ** 2})/(x - ${at}) as x goes to ${at}.`;
  },
  (r) =>
    `${pick(r, w.NAMES)} drives ${whole(r, 40, 500)} km in ${whole(r, 2, 9)} hours. How far does the car go in ${whole(r, 2, 12)} hours at the same speed?`,
  (r) =>
    `${pick(r, w.NAMES)} can paint ${an(pick(r, w.PLACES))} in ${whole(r, 3, 12)} days, and ${pick(r, w.NAMES)} in ${whole(r, 3, 12)} days. How many days do they need when they work side by side?`,
  (r) =>
    `A box holds ${whole(r, 2, 12)} red, ${whole(r, 2, 12)} blue and ${whole(r, 2, 12)} green balls. What is the probability of drawing a blue one?`,
  (r) =>
    `A coin is tossed ${whole(r, 3, 6)} times. What is the probability of exactly ${whole(r, 1, 3)} heads?`,
  (r) =>
    `In how many ways can ${whole(r, 4, 9)} ${pick(r, w.THINGS)}s be arranged in a row? How many ways to choose ${whole(r, 2, 3)} of them?`,
  (r) =>
    `${pick(r, w.NAMES)} buys ${whole(r, 2, 12)} ${pick(r, w.FOODS)}s at $${whole(r, 1, 9)}.${whole(r, 10, 99)} each and pays with $${whole(r, 50, 100)}. How much change is due?`,
  (r) =>
    `A ${pick(r, w.THINGS)} costs $${whole(r, 20, 400)} and is reduced by ${whole(r, 5, 60)}%. What is the new price?`,
  (r) =>
    `$${whole(r, 100, 9000)} earns ${whole(r, 1, 9)}% interest per year. How much is there after ${whole(r, 2, 10)} years?`,
  (r) =>
    `Prove that the ${pick(r, ['sum', 'difference'])} of two ${pick(r, ['odd numbers', 'rational numbers', 'multiples of 3', 'multiples of 5'])} is ${pick(r, ['even', 'rational', 'a multiple of 3', 'a multiple of 5'])}.`,
  (r) =>
    `Prove by induction that ${pick(r, ['2^n > n', 'n^3 - n is divisible by 3', '1 + 2 + 4 + ... + 2^n = 2^(n+1) - 1', '4^n - 1 is divisible by 3', 'n! > 2^n for n > 3', 'the sum of the first n squares is n(n+1)(2n+1)/6'])}.`,
  (r) =>
    `Prove that ${pick(r, ['the square of an odd number is odd', 'there is no largest integer', 'the angles of a triangle add up to 180 degrees', 'the diagonals of a rectangle are equal', 'an even square has an even root', 'the empty set is a subset of every set', 'log 2 is irrational', 'a number divisible by 4 and 3 is divisible by 12'])}.`,
  (r) =>
    `State and prove ${pick(r, ["Pythagoras' theorem", 'the binomial theorem', "De Morgan's laws", 'the law of cosines', 'the triangle inequality', "Fermat's little theorem", "Bayes' theorem", 'the pigeonhole principle'])}.`,
  (r) =>
    `What is the ${pick(r, ['area', 'perimeter', 'diagonal'])} of a ${pick(r, ['rectangle', 'garden', 'field'])} that is ${whole(r, 2, 90)} m long and ${whole(r, 2, 60)} m wide?`,
  (r) =>
    `A cylinder has radius ${whole(r, 2, 12)} cm and height ${whole(r, 2, 30)} cm. Find its volume and surface.`,
  (r) =>
    `The sides of a right triangle are ${whole(r, 3, 20)} and ${whole(r, 3, 20)}. How long is the hypotenuse?`,
  (r) => `Expand (${whole(r, 2, 6)}x + ${whole(r, 1, 9)})(x - ${whole(r, 1, 9)}) and simplify.`,
  (r) => `Find the mean, median and range of ${many(whole(r, 4, 8), () => whole(r, 1, 60)).join(', ')}.`,
  (r) => {
    const [first, by] = [whole(r, 1, 12), whole(r, 2, 9)];
    return `The numbers ${many(4, (_, i) => first + i * by).join(', ')} form a sequence. What is term ${whole(r, 10, 60)}?`;
  },
  (r) =>
    `${pick(r, w.NAMES)} is ${whole(r, 2, 9)} years older than ${pick(r, w.NAMES)}, and together they are ${whole(r, 20, 90)}. How old is each?`,
  (r) => `Write ${whole(r, 11, 500)} in binary and in hexadecimal. Show the divisions.`,
  (r) =>
    `Multiply the matrices [[${whole(r, 1, 9)}, ${whole(r, 1, 9)}], [${whole(r, 1, 9)}, ${whole(r, 1, 9)}]] and [[${whole(r, 1, 9)}, ${whole(r, 1, 9)}], [${whole(r, 1, 9)}, ${whole(r, 1, 9)}]].`,
]);
add('json', [
  (r) => `Return a JSON object for ${an(entity(r))} with ${fields(r)}. Only output JSON.`,
  (r) => `Return JSON for ${an(entity(r))}. No explanation.`,
  (r) =>
    `Return a JSON array of ${pick(r, ['two', 'three', 'four', 'five', 'six'])} ${entity(r)}s with ${fields(r)}. Only output JSON.`,
  (r) =>
    `Output a JSON array of ${pick(r, ['three', 'four', 'five'])} ${pick(r, w.ANIMALS)}s, each with ${fields(r)}.`,
  (r) => `Output JSON about ${pick(r, w.COUNTRIES)} with capital, population, languages and neighbours.`,
  (r) => `Write a JSON schema for ${an(entity(r))} with ${fields(r)}.`,
  (r) =>
    `Write a JSON configuration for a ${pick(r, ['database', 'logger', 'game', 'mail server', 'build tool', 'chat bot', 'monitoring agent', 'mobile app', 'cache', 'message queue'])} with ${fields(r)}. Only output JSON.`,
  (r) =>
    `Return a JSON tool call: name "${pick(r, ['get_weather', 'send_message', 'book_table', 'create_event', 'find_restaurant', 'play_song', 'translate_text', 'order_taxi', 'set_alarm', 'convert_currency'])}" with ${fields(r)}. Only output JSON.`,
  (r) =>
    `Generate a JSON document for a ${pick(r, w.PLACES)} with a list of ${entity(r)}s, each with ${fields(r)}.`,
  (r) => `Create a nested JSON object for ${an(entity(r))} that has an owner and a list of ${entity(r)}s.`,
  (r) => `Give a JSON example of a response of an API that lists ${entity(r)}s, with paging.`,
  (r) => `Convert this CSV to JSON:\n${table(r)}`,
  (r) => `Convert to JSON: ${text(r, 1, 2)}`,
  (r) => `Extract all names and cities as JSON from this text:\n${text(r, 2, 4)}`,
  (r) => `Return a JSON object with the keys "summary" and "topics" for this text:\n${text(r, 2, 4)}`,
  (r) => `Validate this JSON and return it formatted:\n${records(r, 1, 1)[0]}`,
  (r) => `Add a field "${pick(r, w.FIELDS)}" to every object and return the JSON:\n${array(r)}`,
  (r) => `Return only the objects of the first two entries:\n${array(r)}`,
  (r) => `Write a package.json for a project that can ${task(r)}.`,
  (r) =>
    `Return a JSON object that maps ${pick(r, ['five', 'six', 'eight'])} ${pick(r, ['colours', 'fruits', 'cities', 'months', 'animals', 'tools'])} to ${pick(r, ['numbers', 'prices', 'descriptions', 'lengths', 'codes'])}.`,
  (r) => `Write a YAML document for ${an(entity(r))} with ${fields(r)}.`,
  (r) => `Write an XML document for ${an(entity(r))} with ${fields(r)}.`,
  (r) => `Classify this sentence as positive or negative, and answer in JSON: "${pick(r, SENTENCES)(r)}"`,
  (r) => `Output a JSON array of quiz questions on ${subject(r)} with four options and the answer.`,
]);
add('list', [
  (r) => `List ${pick(r, ['five', 'six', 'seven', 'eight', 'ten', 'twelve'])} facts about ${subject(r)}.`,
  (r) => `List ${pick(r, ['five', 'eight', 'ten'])} things that ${an(pick(r, w.JOBS))} needs at work.`,
  (r) =>
    `List ten ${pick(r, ['adjectives', 'verbs', 'nouns', 'questions', 'titles', 'slogans', 'names', 'quotes'])} about ${subject(r)}.`,
  (r) => `Give a numbered list of steps to ${task(r)}.`,
  (r) => `Give a checklist for ${an(pick(r, w.JOBS))} before a trip to ${pick(r, w.CITIES)}.`,
  (r) => `Make a packing list for ${whole(r, 2, 14)} days in ${pick(r, w.COUNTRIES)}.`,
  (r) => `Outline a lesson on ${subject(r)}.`,
  (r) => `Outline an article about ${subject(r)} in bullets.`,
  (r) => `Give a bulleted summary of ${subject(r)}.`,
  (r) => `List the advantages and disadvantages of ${subject(r)}.`,
  (r) => `What are the main parts of ${subject(r)}? Answer with bullets.`,
  (r) => `Give ${pick(r, ['five', 'seven', 'ten'])} questions for an interview with ${an(pick(r, w.JOBS))}.`,
  (r) =>
    `Give a recipe for ${pick(r, w.FOODS)} with ${pick(r, w.FOODS)}, with ingredients and numbered steps.`,
  (r) => `Plan the meals of one week with ${several(r, w.FOODS, 3).join(', ')}.`,
  (r) => `Write a weekly schedule for ${an(pick(r, w.JOBS))}.`,
  (r) => `Suggest ${pick(r, ['five', 'six', 'eight'])} names for ${an(pick(r, w.ANIMALS))} and say why.`,
  (r) => `Suggest gifts for ${an(pick(r, w.JOBS))}, one per line.`,
  (r) => `List ${pick(r, ['five', 'six'])} countries with one sight each.`,
  (r) =>
    `List synonyms and antonyms of ${pick(r, ['brave', 'calm', 'clever', 'cold', 'dark', 'easy', 'fast', 'honest', 'large', 'loud', 'new', 'old', 'polite', 'proud', 'quiet', 'rich', 'sad', 'slow', 'strong', 'weak'])}.`,
  (r) =>
    `List the ${pick(r, ['months', 'seasons', 'continents', 'oceans', 'days of the week', 'primary colours', 'senses', 'bones of the hand', 'notes of a scale', 'states of matter'])} with a short sentence for each.`,
  (r) =>
    `List ${pick(r, ['common mistakes', 'best practices', 'rules', 'myths', 'tips', 'books', 'key terms', 'tools'])} about ${subject(r)} as bullet points.`,
  (r) =>
    `Make a Markdown table of ${pick(r, ['four', 'five', 'six'])} ${pick(r, ['animals', 'planets', 'cities', 'fruits', 'sports', 'tools', 'languages'])} with ${fields(r)}.`,
  (r) => `Rank ${several(r, w.ANIMALS, 5).join(', ')} by size.`,
  (r) => `Give a timeline of ${subject(r)}.`,
  (r) => `What should I do first, second and third to learn about ${subject(r)}?`,
]);
add('edit', [
  (r) => `Repeat this text exactly:\n${text(r, 2, 4)}`,
  (r) => `Repeat the following text and add a title:\n${text(r, 2, 4)}`,
  (r) => `Copy this paragraph, then add two more sentences:\n${text(r, 2, 4)}`,
  (r) => `Correct the spelling of this text and return it:\n${misspelled(r, text(r, 2, 4))}`,
  (r) => `Proofread: ${misspelled(r, text(r, 1, 3))}`,
  (r) => `Rewrite this in simpler words:\n${text(r, 2, 4)}`,
  (r) => `Rewrite this as a formal letter:\n${text(r, 2, 3)}`,
  (r) => `Rewrite this in the ${pick(r, ['past', 'future'])} tense:\n${text(r, 2, 4)}`,
  (r) => `Summarize:\n${text(r, 3, 6)}`,
  (r) =>
    `Summarize the text in ${pick(r, ['one sentence', 'two sentences', 'three bullet points', 'ten words'])}:\n${text(r, 3, 6)}`,
  (r) => `Write a headline for this text:\n${text(r, 2, 4)}`,
  (r) => `Which people are named in this text?\n${text(r, 3, 5)}`,
  (r) =>
    `List the dates of this text:\n${many(whole(r, 2, 4), () => SENTENCES[pick(r, [1, 9])](r)).join(' ')}`,
  (r) =>
    `Extract the numbers and what they count:\n${many(whole(r, 2, 4), () => SENTENCES[pick(r, [4, 7, 10, 11])](r)).join(' ')}`,
  (r) => `Make a table of these notes:\n${many(whole(r, 3, 5), () => SENTENCES[0](r)).join(' ')}`,
  (r) => `Put this into a Markdown table:\n${table(r)}`,
  (r) => `Sort these lines by name:\n${table(r)}`,
  (r) =>
    `Answer from the text. Text: ${text(r, 2, 4)} Question: ${pick(r, ['Who is named first?', 'What happened?', 'Where does it take place?', 'When did it happen?', 'How much does it cost?'])}`,
  (r) => `Translate into ${pick(r, w.SPOKEN)}: ${pick(r, SENTENCES)(r)}`,
  (r) => `Replace every name in this text with another one:\n${text(r, 2, 4)}`,
  (r) => `Turn this text into a dialogue:\n${text(r, 2, 3)}`,
  (r) => `Number the sentences of this text:\n${text(r, 3, 5)}`,
  (r) =>
    `Rename \`${pick(r, NOUNS)}\` to \`${pick(r, ['result', 'output', 'data', 'acc'])}\` in this code:${py(r)}`,
  (r) => `Rename the function and return the code:${js(r)}`,
  (r) => `Add docstrings:${py(r, 1, 3)}`,
  (r) => `Add comments to each line and give me the code back:${py(r)}`,
  (r) => `Add type annotations to this code:${py(r)}`,
  (r) =>
    `Convert this Python code to ${pick(r, ['JavaScript', 'TypeScript', 'Java', 'Go', 'C++', 'Rust'])}:${py(r)}`,
  (r) => `Convert this JavaScript to ${pick(r, ['Python', 'TypeScript', 'Java', 'Go'])}:${js(r)}`,
  (r) => `Add types to this function, as TypeScript:${js(r)}`,
  (r) => `Refactor this code:${pick(r, [py, js])(r)}`,
  (r) => `Make this function async and return the whole code:${js(r)}`,
  (r) => `Add error handling:${pick(r, [py, js])(r)}`,
  (r) => `Change every number in this JSON by ${whole(r, 2, 10)}:\n${array(r)}`,
  (r) => `Remove the last field of every record:\n${array(r)}`,
  (r) => `Turn this JSON into sentences:\n${array(r)}`,
  (r) => `Make a Markdown list of this JSON:\n${array(r)}`,
]);
add('mixed', [
  (r) => `Explain how to ${task(r)}, then give ${language(r)} code, then list three pitfalls.`,
  (r) => `Write a README for a ${language(r)} library to ${task(r)}, with an example.`,
  (r) => `Write a tutorial: ${task(r)} in ${language(r)}. Alternate text and code.`,
  (r) =>
    `Tell a two-sentence story about ${an(pick(r, w.ANIMALS))}, then return it as JSON with ${fields(r)}.`,
  (r) => `Describe ${an(entity(r))} in one paragraph, then as a JSON object, then as a table.`,
  (r) => `Solve ${whole(r, 2, 9)}x = ${whole(r, 10, 90)}, then write Python code that solves it.`,
  (r) =>
    `Answer these: 1. What is ${subject(r)}? 2. What is ${whole(r, 2, 90)} + ${whole(r, 2, 90)}? 3. Write a ${language(r)} function to ${task(r)}.`,
  (r) => `Summarize this and then list its keywords:\n${text(r, 2, 4)}`,
  (r) => `Explain ${subject(r)} in two sentences, then make a quiz of three questions.`,
  (r) => `Write a bug report with steps and a log excerpt for a program to ${task(r)}.`,
]);
add('chat', [
  (r) =>
    `${pick(r, ['Hi!', 'Hello,', 'Hey there,', 'Good morning!'])} I'm ${pick(r, w.NAMES)} from ${pick(r, w.CITIES)}. ${pick(r, ['What can you do?', 'Can you help me?', `Do you know anything about ${subject(r)}?`])}`,
  (r) => `I am ${an(pick(r, w.JOBS))} and I struggle with ${subject(r)}. What should I do?`,
  (r) => `My ${pick(r, w.ANIMALS)} ate my ${pick(r, w.FOODS)}. What now?`,
  (r) =>
    `I feel ${pick(r, ['tired', 'sad', 'nervous', 'excited', 'bored', 'angry', 'lonely', 'proud'])} because of ${subject(r)}.`,
  (r) => `What would you recommend to someone who likes ${subject(r)} and ${subject(r)}?`,
  (r) => `Act as ${an(pick(r, w.JOBS))} and give me advice on ${subject(r)}.`,
  (r) => `Is ${subject(r)} dangerous?`,
  (r) => `What is your opinion on ${subject(r)}?`,
  (r) => `Who is ${pick(r, ['the most famous', 'the first', 'the best'])} ${pick(r, w.JOBS)} in history?`,
  (r) =>
    `${polite(r)}tell me something interesting about ${pick(r, w.COUNTRIES)}.`.replace(/^./, (x) =>
      x.toUpperCase(),
    ),
  (r) => `${polite(r)}help me plan a weekend in ${pick(r, w.CITIES)}.`.replace(/^./, (x) => x.toUpperCase()),
  (r) => `Why does my ${pick(r, w.THINGS)} not work?`,
]);
