// The tools that agents are given (../tools.py): every name that a stream calls; each takes anything and answers the same.

export const FUNCTIONS = ['shell', 'list', 'noargs', 'exec', 'update_plan'];
export const CUSTOM = 'apply_patch';
export const ANSWER = 'done';
export const PARAMETERS = { type: 'object', properties: {}, additionalProperties: true };
