import { getConfig } from '../../config';

// What the page learns before anybody signs in. Plain JSON; the names are those that the real page reads.
export const clientConfig = (): Record<string, unknown> => {
  const config = getConfig();
  return {
    appVersion: config.appVersion,
    authProviders: { google: false, magicLink: false, password: config.isPasswordAuthEnabled, microsoft: false, sso: [] },
    billing: { isBillingEnabled: false, billingUrl: null, trialPeriods: [] },
    aiModels: [],
    signInPrefilled: false,
    isMultiWorkspaceEnabled: config.isMultiWorkspaceEnabled,
    isEmailVerificationRequired: false,
    defaultSubdomain: 'app',
    frontDomain: new URL(config.serverUrl).hostname,
    analyticsEnabled: false,
    support: { supportDriver: 'NONE' },
    sentry: {},
    captcha: {},
    api: { mutationMaximumAffectedRecords: 100 },
    isAttachmentPreviewEnabled: true,
    canManageFeatureFlags: false,
    publicFeatureFlags: [],
    isMicrosoftMessagingEnabled: false,
    isMicrosoftCalendarEnabled: false,
    isGoogleMessagingEnabled: false,
    isGoogleCalendarEnabled: false,
    isConfigVariablesInDbEnabled: config.isConfigVariablesInDbEnabled,
    isImapSmtpCaldavEnabled: false,
  };
};
