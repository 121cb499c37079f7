// SPDX-License-Identifier: AGPL-3.0-only

import { Logger } from '@nestjs/common';

import { type Readable } from 'stream';

import { type StorageDriver } from 'src/engine/core-modules/file-storage/drivers/interfaces/storage-driver.interface';
import {
  FileStorageException,
  FileStorageExceptionCode,
} from 'src/engine/core-modules/file-storage/interfaces/file-storage-exception';

import { type Sources } from 'src/engine/core-modules/file-storage/types/source.type';
import {
  findFileProblem,
  findFolderProblem,
  findLocalProblem,
  findSourcesProblem,
} from 'src/tenancy/paths/pure/storage-path';

type Place = { folderPath: string; filename?: string };

const logger = new Logger('StoragePaths');

// The log tells the reason and not the path, which may hold a tenant's words or a token.
const refuse = (
  what: string,
  problem: string | undefined,
  code = FileStorageExceptionCode.PATH_REFUSED,
): void => {
  if (problem === undefined) {
    return;
  }

  const message = `Refused to ${what}: the path ${problem}`;

  logger.warn(message);

  throw new FileStorageException(message, code);
};

const findPlaceProblem = ({ folderPath, filename }: Place) =>
  filename === undefined
    ? findFolderProblem(folderPath)
    : findFileProblem(folderPath, filename);

// Stands before the real driver, local or S3, in FileStorageService: no path goes through that leaves the folder of the
// workspace with which it begins. It has the methods of the interface and no others, so what upstream adds to its drivers
// is out of reach until it is checked here.
export class WorkspaceBoundDriver implements StorageDriver {
  constructor(private readonly driver: StorageDriver) {}

  async write(params: Parameters<StorageDriver['write']>[0]): Promise<void> {
    refuse('write a file', findFileProblem(params.folder, params.name));

    return this.driver.write(params);
  }

  async writeFolder(sources: Sources, folderPath: string): Promise<void> {
    refuse('write a folder', findSourcesProblem(folderPath, sources));

    return this.driver.writeFolder(sources, folderPath);
  }

  async read(params: {
    folderPath: string;
    filename: string;
  }): Promise<Readable> {
    // What visitors ask for by its address: "not found", which tells them nothing about what lies elsewhere.
    refuse(
      'read a file',
      findFileProblem(params.folderPath, params.filename),
      FileStorageExceptionCode.FILE_NOT_FOUND,
    );

    return this.driver.read(params);
  }

  async readFolder(folderPath: string): Promise<Sources> {
    refuse('read a folder', findFolderProblem(folderPath));

    try {
      return await this.driver.readFolder(folderPath);
    } catch (error) {
      // The local driver's own error names the place on the server's disk.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
        throw new FileStorageException(
          'Folder not found',
          FileStorageExceptionCode.FILE_NOT_FOUND,
        );
      }

      throw error;
    }
  }

  async delete(params: Place): Promise<void> {
    refuse('delete', findPlaceProblem(params));

    return this.driver.delete(params);
  }

  async move(params: { from: Place; to: Place }): Promise<void> {
    refuse('move', findPlaceProblem(params.from) ?? findPlaceProblem(params.to));

    return this.driver.move(params);
  }

  async copy(params: { from: Place; to: Place }): Promise<void> {
    // Upstream copies a person's picture into a workspace that they join: without it rather than not at all.
    refuse(
      'copy',
      findPlaceProblem(params.from) ?? findPlaceProblem(params.to),
      FileStorageExceptionCode.FILE_NOT_FOUND,
    );

    return this.driver.copy(params);
  }

  async download(params: { from: Place; to: Place }): Promise<void> {
    refuse(
      'download',
      findPlaceProblem(params.from) ??
        findLocalProblem(
          [params.to.folderPath, params.to.filename ?? ''].join('/'),
        ),
    );

    return this.driver.download(params);
  }

  async checkFileExists(params: {
    folderPath: string;
    filename: string;
  }): Promise<boolean> {
    refuse(
      'look for a file',
      findFileProblem(params.folderPath, params.filename),
    );

    return this.driver.checkFileExists(params);
  }

  async checkFolderExists(folderPath: string): Promise<boolean> {
    refuse('look for a folder', findFolderProblem(folderPath));

    return this.driver.checkFolderExists(folderPath);
  }
}
