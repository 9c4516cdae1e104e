"""The default segmenter: colour models, plane matching, objectness, silhouette consistency and graph cuts."""
