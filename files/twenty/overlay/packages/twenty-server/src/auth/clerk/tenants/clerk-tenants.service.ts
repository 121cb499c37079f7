// SPDX-License-Identifier: AGPL-3.0-only

import { Injectable, Logger } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { InjectRepository } from '@nestjs/typeorm';

import { WorkspaceActivationStatus } from 'twenty-shared/workspace';
import { QueryFailedError, Repository } from 'typeorm';

import {
  ClerkStoreService,
  type ClerkOrganization,
} from 'src/auth/clerk/store/clerk-store.service';
import { INSIDE } from 'src/auth/clerk/pure/session-standing';
import { ClerkSessionsService } from 'src/auth/clerk/sessions/clerk-sessions.service';
import { ClerkTenantsException } from 'src/auth/clerk/tenants/clerk-tenants.exception';
import {
  decideIdentity,
  decideRoleChange,
  knownEmail,
  placeholderEmail,
  subdomainCandidates,
} from 'src/auth/clerk/tenants/tenant-decisions';
import { type TenantWait } from 'src/auth/clerk/pure/session-exchange';
import {
  type ClerkPerson,
  type MemberRole,
  type TenantInput,
} from 'src/auth/clerk/tenants/tenant-input';
import { type AuthToken } from 'src/engine/core-modules/auth/dto/auth-token.dto';
import { type AuthTokens } from 'src/engine/core-modules/auth/dto/auth-tokens.dto';
import { SignInUpService } from 'src/engine/core-modules/auth/services/sign-in-up.service';
import { AccessTokenService } from 'src/engine/core-modules/auth/token/services/access-token.service';
import { RefreshTokenService } from 'src/engine/core-modules/auth/token/services/refresh-token.service';
import {
  JwtTokenTypeEnum,
  type AccessTokenJwtPayload,
} from 'src/engine/core-modules/auth/types/auth-context.type';
import { SubdomainManagerService } from 'src/engine/core-modules/domain/subdomain-manager/services/subdomain-manager.service';
import { WorkspaceDomainsService } from 'src/engine/core-modules/domain/workspace-domains/services/workspace-domains.service';
import { JwtWrapperService } from 'src/engine/core-modules/jwt/services/jwt-wrapper.service';
import { OnboardingService } from 'src/engine/core-modules/onboarding/onboarding.service';
import { UserWorkspaceEntity } from 'src/engine/core-modules/user-workspace/user-workspace.entity';
import { UserWorkspaceService } from 'src/engine/core-modules/user-workspace/user-workspace.service';
import { UserEntity } from 'src/engine/core-modules/user/user.entity';
import { WorkspaceService } from 'src/engine/core-modules/workspace/services/workspace.service';
import { AuthProviderEnum } from 'src/engine/core-modules/workspace/types/workspace.type';
import { WorkspaceEntity } from 'src/engine/core-modules/workspace/workspace.entity';
import { RoleEntity } from 'src/engine/metadata-modules/role/role.entity';
import { RoleTargetsEntity } from 'src/engine/metadata-modules/role/role-targets.entity';
import { UserRoleService } from 'src/engine/metadata-modules/user-role/user-role.service';
import { WorkspacePermissionsCacheService } from 'src/engine/metadata-modules/workspace-permissions-cache/workspace-permissions-cache.service';
import { TwentyORMGlobalManager } from 'src/engine/twenty-orm/twenty-orm-global.manager';
import { ADMIN_ROLE } from 'src/engine/workspace-manager/workspace-sync-metadata/standard-roles/roles/admin-role';
import { LocksService } from 'src/locks/locks.service';
import { WorkSlotsService } from 'src/locks/work-slots.service';
import { type WorkspaceMemberWorkspaceEntity } from 'src/modules/workspace-member/standard-objects/workspace-member.workspace-entity';

export type Tenant = {
  organizationId: string;
  workspaceId: string;
  name: string;
  status: 'active' | 'suspended';
};

export type TenantMember = {
  clerkUserId: string | null;
  userId: string;
  email: string;
  role: MemberRole;
};

type UserChanges = Partial<
  Pick<
    UserEntity,
    | 'email'
    | 'isEmailVerified'
    | 'firstName'
    | 'lastName'
    | 'defaultAvatarUrl'
    | 'canImpersonate'
    | 'canAccessFullAdminPanel'
  >
>;

const UNIQUE_VIOLATION = '23505';
const SIGN_IN_LOCK_WAIT_IN_MS = 3_000;

const isUniqueViolation = (error: unknown) =>
  error instanceof QueryFailedError &&
  (error.driverError as { code?: string }).code === UNIQUE_VIOLATION;

// Clerk's organisations, people and memberships as workspaces, users and members of Twenty. Every call may be repeated, come
// twice at once or follow one that was cut off; the result is the same.
@Injectable()
// eslint-disable-next-line @nx/workspace-inject-workspace-repository
export class ClerkTenantsService {
  private readonly logger = new Logger(ClerkTenantsService.name);

  constructor(
    private readonly store: ClerkStoreService,
    private readonly clerkSessions: ClerkSessionsService,
    private readonly locks: LocksService,
    private readonly slots: WorkSlotsService,
    private readonly moduleRef: ModuleRef,
    @InjectRepository(UserEntity)
    private readonly userRepository: Repository<UserEntity>,
    @InjectRepository(WorkspaceEntity)
    private readonly workspaceRepository: Repository<WorkspaceEntity>,
    @InjectRepository(UserWorkspaceEntity)
    private readonly userWorkspaceRepository: Repository<UserWorkspaceEntity>,
    @InjectRepository(RoleEntity)
    private readonly roleRepository: Repository<RoleEntity>,
    @InjectRepository(RoleTargetsEntity)
    private readonly roleTargetsRepository: Repository<RoleTargetsEntity>,
    private readonly userWorkspaceService: UserWorkspaceService,
    private readonly workspaceService: WorkspaceService,
    private readonly userRoleService: UserRoleService,
    private readonly workspacePermissionsCacheService: WorkspacePermissionsCacheService,
    private readonly onboardingService: OnboardingService,
    private readonly subdomainManagerService: SubdomainManagerService,
    private readonly workspaceDomainsService: WorkspaceDomainsService,
    private readonly accessTokenService: AccessTokenService,
    private readonly refreshTokenService: RefreshTokenService,
    private readonly jwtWrapperService: JwtWrapperService,
    private readonly twentyORMGlobalManager: TwentyORMGlobalManager,
  ) {}

  // By Clerk id; else linked by an address that Clerk has verified; else created, as a member of nothing. For a person who
  // waits for the page: the lock is waited for shortly.
  async ensureUser(person: ClerkPerson): Promise<UserEntity> {
    return await this.withUser(person, SIGN_IN_LOCK_WAIT_IN_MS);
  }

  async ensureTenant(
    input: TenantInput,
    signal?: AbortSignal,
  ): Promise<Tenant & { created: boolean }> {
    const known = await this.store.findOrganization(input.organizationId);

    if (known !== null && known.status !== 'provisioning') {
      return { ...(await this.describe(known)), created: false };
    }

    return await this.slots.provision(
      () => this.makeTenant(input, signal),
      signal,
    );
  }

  // Seconds of work. What it holds keeps nobody from signing in: the person's own lock is taken for their user alone, and a lock
  // on what they own keeps two of their organisations from adopting the same unfinished workspace.
  private async makeTenant(
    input: TenantInput,
    signal?: AbortSignal,
  ): Promise<Tenant & { created: boolean }> {
    const { organizationId, owner } = input;

    return await this.locks.withLocks(
      [this.organizationKey(organizationId), this.ownerKey(owner.clerkUserId)],
      async (until) => {
        const known = await this.store.findOrganization(organizationId);

        if (known !== null && known.status !== 'provisioning') {
          return { ...(await this.describe(known)), created: false };
        }

        const user = await this.withUser(owner);

        await this.store.announceOrganization(
          organizationId,
          owner.clerkUserId,
        );
        await this.store.setWait(
          organizationId,
          input.getsDataModel ? 'data-model' : null,
        );

        const workspace = await this.ensureActiveWorkspace(
          input,
          user,
          known?.workspaceId ?? null,
          until,
        );

        until.throwIfAborted();
        await this.assignRole(workspace, user.id, 'admin');
        await this.store.setStatus(organizationId, 'active');
        this.logger.log(
          `Tenant made: organization ${organizationId}, workspace ${workspace.id}`,
        );

        return {
          ...(await this.findTenantOrThrow(organizationId)),
          created: true,
        };
      },
      { signal },
    );
  }

  // Told to whoever waits for the workspace; null: nothing keeps it any more.
  async setWait(
    organizationId: string,
    reason: TenantWait | null,
  ): Promise<{ organizationId: string; reason: TenantWait | null }> {
    await this.store.setWait(organizationId, reason);

    return { organizationId, reason };
  }

  async findTenantOrThrow(organizationId: string): Promise<Tenant> {
    return await this.describe(
      await this.findOrganizationOrThrow(organizationId),
    );
  }

  async listTenants(limit: number, offset: number) {
    const { organizations, total } = await this.store.listOrganizations(
      limit,
      offset,
    );
    const data = [];

    for (const organization of organizations) {
      data.push(
        organization.workspaceId === null
          ? {
              organizationId: organization.organizationId,
              workspaceId: null,
              name: null,
              status: organization.status,
              members: [],
            }
          : await this.describeWithMembers(organization),
      );
    }

    return { data, total };
  }

  async describeTenantOrThrow(organizationId: string) {
    return await this.describeWithMembers(
      await this.findOrganizationOrThrow(organizationId),
    );
  }

  async rename(organizationId: string, name: string): Promise<Tenant> {
    return await this.locks.withLocks(
      [this.organizationKey(organizationId)],
      async () => {
        const { workspaceId } =
          await this.findOrganizationOrThrow(organizationId);

        await this.workspaceRepository.update(workspaceId, {
          displayName: name,
        });

        return await this.findTenantOrThrow(organizationId);
      },
    );
  }

  // Upstream's own status SUSPENDED is not used: its cleaner deletes such workspaces after some weeks.
  async setSuspended(
    organizationId: string,
    suspended: boolean,
  ): Promise<Tenant> {
    return await this.locks.withLocks(
      [this.organizationKey(organizationId)],
      async () => {
        const { workspaceId, status } =
          await this.findOrganizationOrThrow(organizationId);

        if (status === 'provisioning') {
          throw new ClerkTenantsException(
            'tenant-not-ready',
            'The workspace is not finished: repeat PUT /internal/tenants/:organizationId first',
          );
        }

        await this.store.setStatus(
          organizationId,
          suspended ? 'suspended' : 'active',
        );

        if (suspended) {
          await this.store.endSessions(workspaceId);
        }

        return await this.findTenantOrThrow(organizationId);
      },
    );
  }

  async ensureMember(
    organizationId: string,
    person: ClerkPerson,
    role: MemberRole,
  ) {
    return await this.locks.withLocks(
      [this.organizationKey(organizationId), this.userKey(person.clerkUserId)],
      async () => {
        const workspace = await this.findWorkspaceOrThrow(organizationId);
        const user = await this.ensureUserLocked(person);
        const created = await this.ensureMembership(user, workspace);

        await this.assignRole(workspace, user.id, role);
        await this.clerkSessions.sessions.setMembership(
          person.clerkUserId,
          organizationId,
          true,
          Date.now() / 1000,
        );

        return {
          clerkUserId: person.clerkUserId,
          userId: user.id,
          role,
          created,
        };
      },
    );
  }

  // The membership goes first: from then on no token of this person is good here. What they wrote keeps their name.
  async removeMember(organizationId: string, clerkUserId: string) {
    return await this.locks.withLocks(
      [this.organizationKey(organizationId), this.userKey(clerkUserId)],
      async () => {
        const { id: workspaceId } =
          await this.findWorkspaceOrThrow(organizationId);
        const userId = await this.store.findUserId(clerkUserId);
        let removed = false;

        if (userId !== null) {
          const membership = await this.userWorkspaceRepository.findOneBy({
            userId,
            workspaceId,
          });

          if (membership !== null) {
            await this.userWorkspaceService.deleteUserWorkspace({
              userWorkspaceId: membership.id,
            });
            removed = true;
          }
          await this.store.endSessions(workspaceId, userId);
          await this.clerkSessions.withdrawAllOf(clerkUserId, workspaceId);
          await this.workspacePermissionsCacheService.recomputeUserWorkspaceRoleMapCache(
            { workspaceId },
          );

          const members = await this.memberRepository(workspaceId);

          if ((await members.countBy({ userId })) > 0) {
            await members.softDelete({ userId });
          }
        }

        return {
          removed,
          adminsLeft: (await this.listMembers(workspaceId)).filter(
            ({ role }) => role === 'admin',
          ).length,
        };
      },
    );
  }

  async updateUser(person: ClerkPerson) {
    return await this.locks.withLocks(
      [this.userKey(person.clerkUserId)],
      async () => {
        const userId = await this.store.findUserId(person.clerkUserId);

        if (userId === null) {
          throw new ClerkTenantsException(
            'user-not-found',
            'Nobody is linked to this Clerk user',
          );
        }

        const before = await this.userRepository.findOneByOrFail({
          id: userId,
        });
        const updated = await this.keepInStep(before, person);

        return { clerkUserId: person.clerkUserId, userId, updated };
      },
    );
  }

  // For exactly this workspace, and as long as the Clerk session lasts; refuses whoever is no member of it, and a workspace
  // that is suspended.
  async issueTokens(
    userId: string,
    workspaceId: string,
    clerkSessionId: string,
  ): Promise<AuthTokens> {
    const authProvider = AuthProviderEnum.SSO;
    const accessOrWorkspaceAgnosticToken =
      await this.accessTokenService.generateAccessToken({
        userId,
        workspaceId,
        authProvider,
        clerkSessionId,
      });
    const refreshToken = await this.refreshTokenService.generateRefreshToken({
      userId,
      workspaceId,
      authProvider,
      clerkSessionId,
      targetedTokenType: JwtTokenTypeEnum.ACCESS,
    });

    return { tokens: { accessOrWorkspaceAgnosticToken, refreshToken } };
  }

  // Subdomain mode: the origin of the workspace's own address.
  async findHome(workspaceId: string): Promise<string> {
    const workspace = await this.workspaceRepository.findOneByOrFail({
      id: workspaceId,
    });

    return this.workspaceDomainsService.buildWorkspaceURL({ workspace }).origin;
  }

  async issueApiToken(
    organizationId: string,
    ttlInSeconds: number,
  ): Promise<AuthToken> {
    const organization = await this.findOrganizationOrThrow(organizationId);
    const ownerId = await this.store.findUserId(organization.ownerClerkUserId);
    const admins = (await this.listMembers(organization.workspaceId)).filter(
      ({ role }) => role === 'admin',
    );
    const admin = admins.find(({ userId }) => userId === ownerId) ?? admins[0];

    if (admin === undefined) {
      throw new ClerkTenantsException(
        'no-admin',
        'The workspace has no admin: add one with PUT .../members/:clerkUserId',
      );
    }

    const { token } = await this.accessTokenService.generateAccessToken({
      userId: admin.userId,
      workspaceId: organization.workspaceId,
      authProvider: AuthProviderEnum.SSO,
      clerkSessionId: INSIDE,
    });
    const {
      iat: _iat,
      exp: _exp,
      ...payload
    } = this.jwtWrapperService.decode<
      AccessTokenJwtPayload & { iat?: number; exp?: number }
    >(token);

    return {
      token: this.jwtWrapperService.sign(payload as AccessTokenJwtPayload, {
        secret: this.jwtWrapperService.generateAppSecret(
          JwtTokenTypeEnum.ACCESS,
          organization.workspaceId,
        ),
        expiresIn: ttlInSeconds,
      }),
      expiresAt: new Date(Date.now() + ttlInSeconds * 1000),
    };
  }

  private organizationKey(organizationId: string) {
    return `clerk organization ${organizationId}`;
  }

  // Sorted, these keys come in the order in which they are taken one in the other: organization, owner, user.
  private ownerKey(clerkUserId: string) {
    return `clerk owner ${clerkUserId}`;
  }

  private userKey(clerkUserId: string) {
    return `clerk user ${clerkUserId}`;
  }

  private async withUser(
    person: ClerkPerson,
    longestWaitInMs?: number,
  ): Promise<UserEntity> {
    return await this.locks.withLocks(
      [this.userKey(person.clerkUserId)],
      () => this.ensureUserLocked(person),
      { longestWaitInMs },
    );
  }

  private async ensureUserLocked(person: ClerkPerson): Promise<UserEntity> {
    try {
      return await this.findOrCreateUser(person);
    } catch (error) {
      // Somebody else took the address in between; now it is seen as taken.
      if (isUniqueViolation(error)) {
        return await this.findOrCreateUser(person);
      }
      throw error;
    }
  }

  private async findOrCreateUser(person: ClerkPerson): Promise<UserEntity> {
    await this.store.restoreUser(person.clerkUserId);

    const linkedId = await this.store.findUserId(person.clerkUserId);

    if (linkedId !== null) {
      const user = await this.userRepository.findOneByOrFail({ id: linkedId });

      await this.keepInStep(user, person);

      return await this.userRepository.findOneByOrFail({ id: linkedId });
    }

    const email = knownEmail(person);
    const holder = await this.userRepository.findOneBy({ email });
    const identity = decideIdentity(
      person,
      holder && {
        userId: holder.id,
        clerkUserId: await this.store.findClerkUserId(holder.id),
      },
    );

    if (identity === 'displace-and-create') {
      await this.displace(email, person.clerkUserId);
    }

    // A holder of a placeholder is this person, from a creation that was cut off before the link.
    const user =
      holder !== null && identity !== 'displace-and-create'
        ? holder
        : await this.userRepository.save(
            this.userRepository.create({
              email,
              firstName: person.firstName,
              lastName: person.lastName,
              defaultAvatarUrl: person.imageUrl,
              isEmailVerified: person.emailVerified,
              canImpersonate: false,
              canAccessFullAdminPanel: false,
            }),
          );
    const userId = await this.store.linkUser(person.clerkUserId, user.id);
    const linked = await this.userRepository.findOneByOrFail({ id: userId });

    await this.keepInStep(linked, person);

    return await this.userRepository.findOneByOrFail({ id: userId });
  }

  // Clerk says that the address is somebody else's now: its former holder keeps everything but the address.
  private async displace(email: string, byClerkUserId: string) {
    const holder = await this.userRepository.findOneBy({ email });

    if (holder === null) {
      return;
    }

    const clerkUserId = await this.store.findClerkUserId(holder.id);

    if (clerkUserId === byClerkUserId) {
      return;
    }

    await this.writeUser(holder.id, {
      email: placeholderEmail(clerkUserId ?? holder.id),
      isEmailVerified: false,
    });
  }

  private async keepInStep(
    user: UserEntity,
    person: ClerkPerson,
  ): Promise<boolean> {
    const email = knownEmail(person);
    // An unverified address replaces no verified one.
    const hasNewEmail = person.emailVerified && email !== user.email;
    const wanted = {
      email: hasNewEmail ? email : user.email,
      isEmailVerified: person.emailVerified || user.isEmailVerified,
      firstName: person.firstName || user.firstName,
      lastName: person.lastName || user.lastName,
      defaultAvatarUrl: person.imageUrl ?? user.defaultAvatarUrl,
      canImpersonate: false,
      canAccessFullAdminPanel: false,
    };
    const changed = Object.entries(wanted).some(
      ([key, value]) => user[key as keyof typeof wanted] !== value,
    );

    if (changed) {
      if (hasNewEmail) {
        await this.displace(email, person.clerkUserId);
      }
      await this.writeUser(user.id, wanted);
    }

    return changed;
  }

  private async writeUser(userId: string, changes: UserChanges) {
    await this.userRepository.update(userId, changes);

    const user = await this.userRepository.findOneByOrFail({ id: userId });
    const memberships = await this.userWorkspaceRepository.find({
      where: { userId },
      relations: ['workspace'],
    });

    for (const { workspace } of memberships) {
      if (workspace?.activationStatus !== WorkspaceActivationStatus.ACTIVE) {
        continue;
      }

      const members = await this.memberRepository(workspace.id);

      await this.freeAddress(members, user);
      await members.update(
        { userId },
        {
          name: { firstName: user.firstName, lastName: user.lastName },
          userEmail: user.email,
          avatarUrl: user.defaultAvatarUrl ?? '',
        },
      );
    }
  }

  private async ensureActiveWorkspace(
    input: TenantInput,
    user: UserEntity,
    linkedWorkspaceId: string | null,
    until: AbortSignal,
  ): Promise<WorkspaceEntity> {
    let workspace = await this.findUsableWorkspace(
      linkedWorkspaceId ??
        (await this.store.findAbandonedWorkspaceId(user.id)),
      user,
    );

    until.throwIfAborted();
    if (workspace === null) {
      // Not exported by its module, and importing that one would close a circle.
      const signInUpService = this.moduleRef.get(SignInUpService, {
        strict: false,
      });

      ({ workspace } = await signInUpService.signUpOnNewWorkspace({
        type: 'existingUser',
        existingUser: user,
      }));
    }

    await this.store.linkWorkspace(input.organizationId, workspace.id);

    until.throwIfAborted();
    if (workspace.activationStatus !== WorkspaceActivationStatus.ACTIVE) {
      await this.ensureUserWorkspace(user, workspace);
      await this.workspaceService.activateWorkspace(user, workspace, {
        displayName: input.name,
      });
    }

    await this.workspaceRepository.update(workspace.id, {
      displayName: input.name,
      allowImpersonation: false,
      isPublicInviteLinkEnabled: false,
    });
    await this.takeSubdomain(workspace, input);
    await this.ensureMembership(user, workspace);
    await this.skipOnboarding(user.id, workspace.id);

    return await this.workspaceRepository.findOneByOrFail({ id: workspace.id });
  }

  // One that was cut off while its schema was being made is beyond use: removed, and made anew.
  private async findUsableWorkspace(
    workspaceId: string | null,
    user: UserEntity,
  ): Promise<WorkspaceEntity | null> {
    const workspace =
      workspaceId === null
        ? null
        : await this.workspaceRepository.findOneBy({ id: workspaceId });

    if (
      workspace?.activationStatus !== WorkspaceActivationStatus.ONGOING_CREATION
    ) {
      return workspace;
    }

    this.logger.warn(
      `Workspace ${workspace.id} was cut off while being made: removed, to be made anew`,
    );
    await this.workspaceService.deleteWorkspace(workspace.id);
    // Upstream removes a user together with their only workspace.
    await this.userRepository.restore(user.id);

    return null;
  }

  private async takeSubdomain(workspace: WorkspaceEntity, input: TenantInput) {
    const candidates = subdomainCandidates(
      input.organizationId,
      input.name,
      input.slug,
    );

    if (candidates.includes(workspace.subdomain)) {
      return;
    }

    for (const subdomain of candidates) {
      try {
        await this.subdomainManagerService.validateSubdomainOrThrow(subdomain);
        await this.workspaceRepository.update(workspace.id, { subdomain });

        return;
      } catch (error) {
        this.logger.log(
          `Subdomain ${subdomain} is not free: ${error instanceof Error ? error.message : 'unknown'}`,
        );
      }
    }
  }

  // Clerk has asked already: no page about profile, mailbox or team mates stands before the CRM.
  private async skipOnboarding(userId: string, workspaceId: string) {
    await this.onboardingService.setOnboardingConnectAccountPending({
      userId,
      workspaceId,
      value: false,
    });
    await this.onboardingService.setOnboardingCreateProfilePending({
      userId,
      workspaceId,
      value: false,
    });
    await this.onboardingService.setOnboardingInviteTeamPending({
      workspaceId,
      value: false,
    });
  }

  private async ensureUserWorkspace(
    user: UserEntity,
    workspace: WorkspaceEntity,
  ): Promise<boolean> {
    const membership = await this.userWorkspaceService.checkUserWorkspaceExists(
      user.id,
      workspace.id,
    );

    if (membership !== null) {
      return false;
    }

    // As an existing user: upstream would fetch a new one's picture from its address.
    await this.userWorkspaceService.create({
      userId: user.id,
      workspaceId: workspace.id,
      isExistingUser: true,
    });

    return true;
  }

  private async ensureMembership(
    user: UserEntity,
    workspace: WorkspaceEntity,
  ): Promise<boolean> {
    const created = await this.ensureUserWorkspace(user, workspace);
    const members = await this.memberRepository(workspace.id);
    const member = await members.findOne({
      where: { userId: user.id },
      withDeleted: true,
    });

    await this.freeAddress(members, user);
    if (member === null) {
      await this.userWorkspaceService.createWorkspaceMember(workspace.id, user);
    } else if (member.deletedAt !== null) {
      await members.restore({ userId: user.id });
    }

    await members.update(
      { userId: user.id },
      {
        name: { firstName: user.firstName, lastName: user.lastName },
        userEmail: user.email,
        avatarUrl: user.defaultAvatarUrl ?? '',
      },
    );

    return created;
  }

  // A workspace has one member for an address, those who left included: of somebody deleted at Clerk and made again there, the row of
  // the first keeps all but the address.
  private async freeAddress(
    members: Awaited<ReturnType<ClerkTenantsService['memberRepository']>>,
    { id, email }: UserEntity,
  ) {
    const holder = await members.findOne({
      where: { userEmail: email },
      withDeleted: true,
    });

    if (holder !== null && holder.userId !== id) {
      await members.update(
        { id: holder.id },
        { userEmail: placeholderEmail(holder.userId) },
      );
    }
  }

  private async assignRole(
    workspace: WorkspaceEntity,
    userId: string,
    role: MemberRole,
  ) {
    const { id: workspaceId } = workspace;
    const { id: userWorkspaceId } =
      await this.userWorkspaceRepository.findOneByOrFail({
        userId,
        workspaceId,
      });
    const roles = await this.userRoleService.getRolesByUserWorkspaces({
      userWorkspaceIds: [userWorkspaceId],
      workspaceId,
    });
    const current = roles.get(userWorkspaceId)?.[0];
    const change = decideRoleChange(
      role,
      current === undefined
        ? 'none'
        : current.standardId === ADMIN_ROLE.standardId
          ? 'admin'
          : 'other',
    );

    if (change === 'keep') {
      return;
    }

    const target = await this.roleRepository.findOneByOrFail(
      change === 'assign-admin'
        ? { workspaceId, standardId: ADMIN_ROLE.standardId }
        : { workspaceId, id: workspace.defaultRoleId ?? undefined },
    );

    // Written here: upstream refuses to take the role from the last admin, which is Clerk's decision.
    await this.roleTargetsRepository.manager.transaction(async (manager) => {
      const targets = manager.getRepository(RoleTargetsEntity);

      await targets.delete({ workspaceId, userWorkspaceId });
      await targets.save({ workspaceId, userWorkspaceId, roleId: target.id });
    });
    await this.workspacePermissionsCacheService.recomputeUserWorkspaceRoleMapCache(
      { workspaceId },
    );
  }

  private async listMembers(workspaceId: string): Promise<TenantMember[]> {
    const memberships = await this.userWorkspaceRepository.find({
      where: { workspaceId },
      relations: ['user'],
      order: { createdAt: 'ASC' },
    });
    const roles = await this.userRoleService.getRolesByUserWorkspaces({
      userWorkspaceIds: memberships.map(({ id }) => id),
      workspaceId,
    });
    const members: TenantMember[] = [];

    for (const { id, user } of memberships) {
      if (!user) {
        continue;
      }
      members.push({
        clerkUserId: await this.store.findClerkUserId(user.id),
        userId: user.id,
        email: user.email,
        role:
          roles.get(id)?.[0]?.standardId === ADMIN_ROLE.standardId
            ? 'admin'
            : 'member',
      });
    }

    return members;
  }

  private async findOrganizationOrThrow(
    organizationId: string,
  ): Promise<ClerkOrganization & { workspaceId: string }> {
    const organization = await this.store.findOrganization(organizationId);

    if (organization === null || organization.workspaceId === null) {
      throw new ClerkTenantsException(
        'tenant-not-found',
        'No workspace belongs to this organisation: PUT /internal/tenants/:organizationId makes it',
      );
    }

    return { ...organization, workspaceId: organization.workspaceId };
  }

  private async findWorkspaceOrThrow(
    organizationId: string,
  ): Promise<WorkspaceEntity> {
    const { workspaceId, status } =
      await this.findOrganizationOrThrow(organizationId);

    if (status === 'provisioning') {
      throw new ClerkTenantsException(
        'tenant-not-ready',
        'The workspace is not finished: repeat PUT /internal/tenants/:organizationId first',
      );
    }

    return await this.workspaceRepository.findOneByOrFail({ id: workspaceId });
  }

  private async describe(organization: ClerkOrganization): Promise<Tenant> {
    const workspace = await this.workspaceRepository.findOneByOrFail({
      id: organization.workspaceId ?? undefined,
    });

    return {
      organizationId: organization.organizationId,
      workspaceId: workspace.id,
      name: workspace.displayName ?? '',
      status: organization.status === 'suspended' ? 'suspended' : 'active',
    };
  }

  private async describeWithMembers(organization: ClerkOrganization) {
    const tenant = await this.describe(organization);

    return {
      ...tenant,
      status: organization.status,
      members: await this.listMembers(tenant.workspaceId),
    };
  }

  private async memberRepository(workspaceId: string) {
    return await this.twentyORMGlobalManager.getRepositoryForWorkspace<WorkspaceMemberWorkspaceEntity>(
      workspaceId,
      'workspaceMember',
      { shouldBypassPermissionChecks: true },
    );
  }
}
