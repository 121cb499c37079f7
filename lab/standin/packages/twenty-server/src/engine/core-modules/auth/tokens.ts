import { createHash } from 'node:crypto';
import jwt, { type JwtPayload, type SignOptions } from 'jsonwebtoken';

import { getConfig } from '../../../config';
import { apiError } from '../../errors';

// HS256; each secret is made of APP_SECRET, the workspace (or, without one, the user) and the kind of token.
export type TokenType = 'ACCESS' | 'LOGIN' | 'REFRESH' | 'WORKSPACE_AGNOSTIC' | 'API_KEY';

export type AuthToken = { token: string; expiresAt: string };

export type TokenPayload = JwtPayload & {
  type?: TokenType;
  userId?: string;
  workspaceId?: string;
  workspaceMemberId?: string;
  userWorkspaceId?: string;
  authProvider?: string;
  targetedTokenType?: TokenType;
};

const secretOf = (scope: string, type: TokenType): string =>
  createHash('sha256').update(`${getConfig().appSecret}${scope}${type}`).digest('hex');

// An API key's token is signed with the secret of access tokens.
const secretType = (type: TokenType): TokenType => (type === 'API_KEY' ? 'ACCESS' : type);

const scopeOf = ({ workspaceId, userId }: TokenPayload): string | undefined => workspaceId ?? userId;

export const signToken = (payload: TokenPayload & { type: TokenType }, options: SignOptions): AuthToken => {
  const scope = scopeOf(payload);
  if (!scope) throw new Error(`a ${payload.type} token names neither a workspace nor a user`);
  const token = jwt.sign(payload, secretOf(scope, secretType(payload.type)), options);
  const { exp } = jwt.decode(token) as JwtPayload;
  return { token, expiresAt: new Date((exp ?? 0) * 1000).toISOString() };
};

const unauthenticated = (message: string) => apiError('UNAUTHENTICATED', message, { subCode: 'UNAUTHENTICATED' });

// The payload of a token whose signature, life and kind are right; otherwise UNAUTHENTICATED.
export const verifyToken = (token: string, accepted: TokenType[]): TokenPayload & { type: TokenType } => {
  const claimed = jwt.decode(token, { json: true }) as TokenPayload | null;
  const scope = claimed && scopeOf(claimed);
  if (!claimed?.type || !scope) throw unauthenticated('Token invalid.');
  try {
    const payload = jwt.verify(token, secretOf(scope, secretType(claimed.type)), { algorithms: ['HS256'] });
    if (!accepted.includes(claimed.type)) throw unauthenticated('Token invalid.');
    return payload as TokenPayload & { type: TokenType };
  } catch (error) {
    if (error instanceof jwt.TokenExpiredError) throw unauthenticated('Token has expired.');
    if (error instanceof jwt.JsonWebTokenError) throw unauthenticated('Token invalid.');
    throw error;
  }
};
