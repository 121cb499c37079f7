import './style.css';

declare global {
  interface Window {
    _env_?: Record<string, string>;
  }
}

type ClientConfig = { appVersion?: string; authProviders: { password: boolean } };
type Tokens = { accessOrWorkspaceAgnosticToken: { token: string }; refreshToken: { token: string } };
type Answer<T> = { data?: T | null; errors?: { message: string }[] };

const base = window._env_?.REACT_APP_SERVER_BASE_URL || process.env.REACT_APP_SERVER_BASE_URL || window.location.origin;
const root = document.getElementById('root') as HTMLElement;

const element = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string>,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] => {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.append(...children);
  return created;
};

const readTokens = (): Tokens | undefined => {
  const cookie = document.cookie.split('; ').find((item) => item.startsWith('tokenPair='));
  return cookie ? (JSON.parse(decodeURIComponent(cookie.slice('tokenPair='.length))) as Tokens) : undefined;
};

const keepTokens = (tokens: Tokens | undefined): void => {
  const value = tokens ? encodeURIComponent(JSON.stringify(tokens)) : '';
  document.cookie = `tokenPair=${value}; path=/; SameSite=Lax${tokens ? '' : '; max-age=0'}`;
};

const ask = async <T>(path: '/graphql' | '/metadata', query: string, variables: object, token?: string): Promise<T> => {
  const response = await fetch(new URL(path, base), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
    body: JSON.stringify({ query, variables }),
  });
  const answer = (await response.json()) as Answer<T>;
  if (answer.errors?.length || !answer.data) throw new Error(answer.errors?.[0]?.message ?? `HTTP ${response.status}`);
  return answer.data;
};

const frame = (title: string, ...children: (Node | string)[]): void => {
  root.replaceChildren(
    element('main', {}, element('h1', {}, title), ...children,
      element('p', { class: 'notice' }, 'This is the rehearsal stand-in, not Twenty.')),
  );
};

const signIn = async (email: string, password: string): Promise<void> => {
  const origin = window.location.origin;
  const { getLoginTokenFromCredentials: login } = await ask<{ getLoginTokenFromCredentials: { loginToken: { token: string } } }>(
    '/metadata',
    `mutation ($email: String!, $password: String!, $origin: String!) {
      getLoginTokenFromCredentials(email: $email, password: $password, origin: $origin) { loginToken { token } } }`,
    { email, password, origin },
  );
  const { getAuthTokensFromLoginToken: session } = await ask<{ getAuthTokensFromLoginToken: { tokens: Tokens } }>(
    '/metadata',
    `mutation ($loginToken: String!, $origin: String!) {
      getAuthTokensFromLoginToken(loginToken: $loginToken, origin: $origin) {
        tokens { accessOrWorkspaceAgnosticToken { token expiresAt } refreshToken { token expiresAt } } } }`,
    { loginToken: login.loginToken.token, origin },
  );
  keepTokens(session.tokens);
};

const showSignIn = (problem?: string): void => {
  const form = element(
    'form',
    {},
    element('input', { name: 'email', type: 'email', placeholder: 'Email', required: '', autocomplete: 'username' }),
    element('input', { name: 'password', type: 'password', placeholder: 'Password', required: '', autocomplete: 'current-password' }),
    element('button', { type: 'submit' }, 'Continue'),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    signIn(String(fields.get('email')), String(fields.get('password'))).then(show, (error: Error) => showSignIn(error.message));
  });
  frame('Welcome to Twenty', ...(problem ? [element('p', { class: 'error', role: 'alert' }, problem)] : []), form);
};

const showWorkspace = async (token: string): Promise<void> => {
  type Model = { objects: { edges: { node: { nameSingular: string; namePlural: string; labelPlural: string; isSystem: boolean } }[] } };
  const { objects } = await ask<Model>(
    '/metadata',
    '{ objects(paging: { first: 1000 }) { edges { node { nameSingular namePlural labelPlural isSystem } } } }',
    {},
    token,
  );
  const shown = objects.edges.map(({ node }) => node).filter(({ isSystem }) => !isSystem);
  const counts = await ask<Record<string, { totalCount: number }>>(
    '/graphql',
    `{ ${shown.map(({ namePlural }) => `${namePlural} { totalCount }`).join(' ')} }`,
    {},
    token,
  );
  const list = element('ul', { 'data-testid': 'objects' });
  for (const { namePlural, labelPlural } of shown) {
    list.append(element('li', {}, `${labelPlural}: ${counts[namePlural]?.totalCount ?? 0}`));
  }
  const signOut = element('button', { type: 'button' }, 'Log out');
  signOut.addEventListener('click', () => {
    keepTokens(undefined);
    showSignIn();
  });
  frame('Your workspace', list, signOut);
};

const show = async (): Promise<void> => {
  const response = await fetch(new URL('/client-config', base));
  if (!response.ok) {
    frame('Unable to reach the server', element('p', { class: 'error' }, `client-config answered ${response.status}`));
    return;
  }
  const config = (await response.json()) as ClientConfig;
  document.documentElement.dataset.appVersion = config.appVersion ?? '';
  const tokens = readTokens();
  if (!tokens) {
    showSignIn();
    return;
  }
  try {
    await showWorkspace(tokens.accessOrWorkspaceAgnosticToken.token);
  } catch (error) {
    keepTokens(undefined);
    showSignIn((error as Error).message);
  }
};

show().catch((error: Error) => frame('Unable to reach the server', element('p', { class: 'error' }, error.message)));

export {};
