// SPDX-License-Identifier: AGPL-3.0-only

import { type DataModel, type ModelView } from './data-model';
import { type FirstView, type MetadataObject } from './workspace-metadata';

// What a person sees of an object on the first day. A view belongs to the people of a workspace: it is written once, when its
// object is made (of Twenty's own objects: when our fields are), and never looked at again. So what is to be written is noted in
// the workspace before the object is made, and the note goes in the transaction that writes the views: a run that was killed
// anywhere is finished by the next one.

type Group = { object: string; view: ModelView; isOurs: boolean };

const groupsOf = (model: DataModel): Group[] =>
  [
    ...model.objects.map(({ nameSingular, firstView }) => ({
      object: nameSingular,
      view: firstView,
      isOurs: true,
    })),
    ...model.extends.map(({ object, firstView }) => ({
      object,
      view: firstView,
      isOurs: false,
    })),
  ].filter((group): group is Group => group.view !== undefined);

// Every object that the model arranges: what a person asks for by --views.
export const objectsWithFirstView = (model: DataModel): string[] =>
  groupsOf(model).map(({ object }) => object);

// Which objects' first views the next write brings with it: those of objects that it makes, and of Twenty's own objects that have
// none of our fields yet.
export const firstViewsToNote = (
  model: DataModel,
  objects: MetadataObject[],
): string[] =>
  groupsOf(model)
    .filter(({ object, isOurs }) => {
      const existing = objects.find(
        ({ nameSingular }) => nameSingular === object,
      );

      if (isOurs) {
        return existing === undefined;
      }
      const ours = model.extends.find((extension) => extension.object === object);

      return (
        existing !== undefined &&
        !existing.fields.some(({ name }) =>
          ours?.fields.some((field) => field.name === name),
        )
      );
    })
    .map(({ object }) => object);

// The views of the noted objects, once all of the model is there. A column that somebody deactivated or that a version of Twenty
// does not have is left out.
export const firstViewsOf = (
  model: DataModel,
  objects: MetadataObject[],
  noted: string[],
): FirstView[] =>
  groupsOf(model)
    .filter(({ object }) => noted.includes(object))
    .flatMap(({ object, view, isOurs }) => {
      const existing = objects.find(
        ({ nameSingular }) => nameSingular === object,
      );

      if (existing === undefined) {
        return [];
      }
      const field = (name: string | undefined) =>
        existing.fields.find((item) => item.name === name && item.isActive);
      const columns = view.columns.flatMap((name) => field(name)?.id ?? []);
      const sortedBy = field(view.sort?.field);
      const board = field(view.board);
      // What every custom object is born with and nobody asked for; people's own columns are never hidden.
      const hidden = isOurs
        ? existing.fields.filter(
            ({ id, name, isCustom }) =>
              !isCustom && name !== 'name' && !columns.includes(id),
          )
        : [];

      return [
        {
          objectName: object,
          objectMetadataId: existing.id,
          nameFieldId: field('name')?.id,
          columns,
          hidden: hidden.map(({ id }) => id),
          ...(sortedBy === undefined || view.sort === undefined
            ? {}
            : {
                sort: {
                  fieldId: sortedBy.id,
                  isDescending: view.sort.direction === 'descending',
                },
              }),
          ...(board === undefined
            ? {}
            : {
                board: {
                  fieldId: board.id,
                  name: `By ${board.label}`,
                  values: [...(board.options ?? [])]
                    .sort((one, other) => one.position - other.position)
                    .map(({ value }) => value),
                },
              }),
        },
      ];
    });
